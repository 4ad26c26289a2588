import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.stream.repeats import CAUSES, Divergence, Repeats

C = b"conversation"


def cause(seq: int) -> bytes:
    return b"cause-%d" % seq


def seen(*seqs: int) -> Repeats:
    repeats = Repeats()
    for seq in seqs:
        repeats.admits(C, seq, cause(seq))
    return repeats


def test_consecutive_events_are_new_wherever_they_begin() -> None:
    repeats = Repeats()
    assert [repeats.admits(C, seq, cause(seq)) for seq in (7, 8, 9)] == [True] * 3


def test_a_redelivered_tail_is_a_repeat() -> None:
    repeats = seen(1, 2, 3)
    assert [repeats.admits(C, seq, cause(seq)) for seq in (1, 2, 3, 2, 3)] == [False] * 5
    assert repeats.admits(C, 4, cause(4))


def test_conversations_are_counted_apart() -> None:
    assert seen(1, 2, 3).admits(b"another", 1, cause(1))


def test_a_missing_seq_is_a_divergence() -> None:
    with pytest.raises(Divergence, match="seq 5 follows 3"):
        seen(1, 2, 3).admits(C, 5, cause(5))


def test_one_seq_with_two_causes_is_a_divergence() -> None:
    with pytest.raises(Divergence, match="seq 2 has two causes"):
        seen(1, 2, 3).admits(C, 2, b"another cause")


def test_a_divergence_changes_nothing() -> None:
    repeats = seen(1, 2, 3)
    with pytest.raises(Divergence):
        repeats.admits(C, 5, cause(5))
    assert repeats.admits(C, 4, cause(4))


@given(st.integers(1, 3 * CAUSES))
def test_the_last_causes_are_remembered_and_older_ones_are_not(back: int) -> None:
    last = 4 * CAUSES
    repeats = seen(*range(1, last + 1))
    if back < CAUSES:
        with pytest.raises(Divergence):
            repeats.admits(C, last - back, b"another cause")
    else:
        assert not repeats.admits(C, last - back, b"another cause")


def test_what_came_before_the_first_event_seen_is_a_repeat() -> None:
    assert not seen(8).admits(C, 6, cause(6))


def test_memory_is_bounded_and_the_least_recent_conversation_is_forgotten() -> None:
    repeats = Repeats(conversations=2)
    for name in (b"a", b"b", b"a", b"c"):
        repeats.admits(name, 1, cause(1))
    assert not repeats.admits(b"a", 1, cause(1))
    assert repeats.admits(b"b", 1, cause(1))


def test_one_outcome_of_a_command_is_told_once() -> None:
    repeats = Repeats(conversations=2)
    assert repeats.admits_outcome(b"rejected", b"1")
    assert not repeats.admits_outcome(b"rejected", b"1")
    assert repeats.admits_outcome(b"repeated", b"1")
    assert repeats.admits_outcome(b"rejected", b"2")
    assert repeats.admits_outcome(b"rejected", b"1"), "only the last ones are remembered"
