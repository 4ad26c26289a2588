"""Budgets of size, and names that say nothing."""

import statistics

from tests.architecture.modules import PRODUCT, Module, modules

MODULE_LINES = 400
FUNCTION_LINES = 60
MEDIAN_FUNCTION_LINES = 10
EMPTY_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "misc", "process_data"})

EVERYTHING = modules(*PRODUCT, "examples", "bench", "tests")


def test_no_module_is_too_long() -> None:
    found = [f"{module.name}: {module.lines} lines" for module in EVERYTHING if module.lines > MODULE_LINES]
    assert not found, found


def test_no_function_is_too_long() -> None:
    found = [
        f"{module.name}.{name}: {length} lines"
        for module in EVERYTHING
        for name, length in module.functions()
        if length > FUNCTION_LINES
    ]
    assert not found, found


def test_the_typical_function_is_short() -> None:
    lengths = [length for module in modules(*PRODUCT) for _, length in module.functions()]
    assert statistics.median(lengths) <= MEDIAN_FUNCTION_LINES


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [module.name for module in EVERYTHING if module.name.rpartition(".")[2] in EMPTY_NAMES]


def test_the_budgets_are_measured() -> None:
    own = next(module for module in EVERYTHING if module.name == "tests.architecture.modules")
    assert dict(own.functions())["modules"] == 3
    assert isinstance(own, Module)
    assert own.lines > 40
