"""An exception's class is an instruction: which one, and with how much patience."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.faults import Fatal, Fenced, Poison, Transient
from shared.runtime.records import Record
from shared.runtime.retry_policy import RetryPolicy, Step

RECORD = Record("channel.inbound", 0, 7, b"k", b"v", {}, 0)


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (Fenced("x"), Step.RAISE),
        (Fatal("x"), Step.RAISE),
        (Transient("x"), Step.HOLD),
        (ConnectionResetError(), Step.HOLD),
        (TimeoutError(), Step.HOLD),
        (Poison("CODE"), Step.ISOLATE),
        (Poison("CODE", record=RECORD), Step.DEAD_LETTER),
        (KeyError("bug"), Step.RETRY),
    ],
)
def test_each_class_of_error_says_what_to_do(error: Exception, step: Step) -> None:
    assert RetryPolicy(tries=3).step(error, bugs=1) is step


def test_a_bug_is_isolated_after_its_tries() -> None:
    policy = RetryPolicy(tries=3)
    assert [policy.step(KeyError(), bugs) for bugs in (1, 2, 3)] == [Step.RETRY, Step.RETRY, Step.ISOLATE]


def test_an_engine_that_is_away_never_counts_as_a_bug() -> None:
    assert RetryPolicy(tries=3).step(Transient("x"), bugs=99) is Step.HOLD


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_delays_grow_up_to_the_longest_and_are_never_nothing(failures: int, jitter: float) -> None:
    policy = RetryPolicy(first_delay_s=0.1, longest_delay_s=5.0)
    assert 0.05 <= policy.delay_s(failures, jitter) <= 5.0
    assert policy.delay_s(failures, 0.0) <= policy.delay_s(failures + 1, 0.0)
