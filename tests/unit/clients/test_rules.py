"""The pure rules of the Python client."""

import pytest

from relaydesk_stream import Event, Timing
from relaydesk_stream.rules import Seen


def at(subject: str, seq: int | None) -> dict[str, object]:
    return {"subject": subject, "seq": seq}


def test_what_was_handled_is_known_and_what_comes_next_is_not() -> None:
    seen = Seen()
    seen.add(at("a", 3))
    assert [seen.has(at("a", seq)) for seq in (1, 3, 4)] == [True, True, False]
    assert not seen.has(at("b", 1))


def test_events_without_a_seq_are_never_left_out() -> None:
    seen = Seen()
    seen.add(at("a", None))
    assert not seen.has(at("a", None))


def test_the_conversations_that_changed_longest_ago_are_forgotten() -> None:
    seen = Seen(most=2)
    for subject in ("a", "b", "a", "c"):
        seen.add(at(subject, 1))
    assert [seen.has(at(subject, 1)) for subject in "abc"] == [True, False, True]


@pytest.mark.parametrize(("failures", "longest"), [(0, 0.5), (1, 1.0), (3, 4.0), (20, 30.0), (100_000, 30.0)])
def test_pauses_double_up_to_a_longest_one_and_are_spread_from_zero(failures: int, longest: float) -> None:
    timing = Timing()
    assert [timing.pause(failures, iter([dice]).__next__) for dice in (0.0, 0.5, 1.0)] == [0, longest / 2, longest]


def test_an_events_kind_is_its_type_without_prefix_and_version() -> None:
    content = {"type": "relaydesk.message.sent.v1", "subject": "c", "seq": 7, "data": {}}
    event = Event(content, "")
    assert (event.kind, event.subject, event.seq) == ("message.sent", "c", 7)
