"""The bench's own arithmetic: a wrong percentile would be believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.pipeline.cpu import Stat, between, parsed, tree_seconds
from bench.pipeline.latency import percentile, spread
from bench.pipeline.report import Bar


@pytest.mark.parametrize(("share", "value"), [(0.5, 500), (0.99, 990), (0.999, 999), (1.0, 1000), (0.001, 1)])
def test_a_percentile_of_1_to_1000_is_its_nearest_rank(share: float, value: int) -> None:
    assert percentile(range(1, 1001), share) == value


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([0.5, 0.99, 0.999]))
def test_at_least_the_share_lies_at_or_below_the_percentile(values: list[float], share: float) -> None:
    found = percentile(sorted(values), share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values) + 1e-6


def test_a_spread_is_in_milliseconds_and_needs_no_order() -> None:
    found = spread([0.003, 0.001, 0.002])

    assert found is not None
    assert found.samples == 3
    assert (found.p50, found.most) == pytest.approx((2.0, 3.0))


def test_nothing_measured_has_no_spread() -> None:
    assert spread([]) is None


def test_a_stat_line_is_read_past_a_name_with_brackets_and_spaces() -> None:
    line = "42 (a) odd (name) S 7 42 42 0 -1 4194560 100 0 0 0 150 50 30 20 20 0 1 0 5 6 7"

    assert parsed(line, ticks=100) == Stat(parent=7, seconds=2.5)


def test_a_tree_has_grandchildren_and_no_strangers() -> None:
    stats = {1: Stat(0, 1.0), 2: Stat(1, 2.0), 3: Stat(2, 4.0), 4: Stat(0, 8.0)}

    assert tree_seconds(stats, [1]) == 7.0


def test_a_process_that_is_gone_has_spent_nothing() -> None:
    assert tree_seconds({}, [9]) == 0.0


def test_what_is_spent_between_two_moments_is_their_difference() -> None:
    assert between({"a": 1.0}, {"a": 1.5}) == {"a": 0.5}


def test_a_bar_is_met_at_its_very_value_from_either_side() -> None:
    assert Bar("x", 300, 300).met
    assert Bar("x", 100, 100, at_most=True).met
    assert not Bar("x", 299.9, 300).met
    assert not Bar("x", 100.1, 100, at_most=True).met
