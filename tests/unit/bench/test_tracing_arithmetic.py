"""The ratio of two systems that take turns."""

from bench.tracing.__main__ import ratio


def test_a_round_that_was_slow_for_both_changes_nothing() -> None:
    assert ratio([110.0, 1100.0, 110.0], [100.0, 1000.0, 100.0]) == 1.1


def test_one_round_that_was_slow_for_one_changes_little() -> None:
    assert ratio([110.0, 5000.0, 110.0], [100.0, 100.0, 100.0]) == 1.1
