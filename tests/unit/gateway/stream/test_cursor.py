import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.stream.cursor import CLOCK_SKEW_S, Cursor, CursorRefused, Cursors

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


class StoppedClock:
    def __init__(self, moment: datetime = NOON) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()


def cursors(key: bytes = b"key", incarnation: str = "one", at: datetime = NOON) -> Cursors:
    return Cursors(key, lambda: incarnation, StoppedClock(at), WEEK.total_seconds())


def refusal(text: str, reader: Cursors | None = None, workspace: str = "acme") -> str:
    with pytest.raises(CursorRefused) as refused:
        (reader or cursors()).parse(text, workspace)
    return refused.value.reason


@given(st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True), st.integers(0, 65535), st.integers(-1, 2**63 - 1))
def test_what_was_minted_is_read_back(workspace: str, partition: int, offset: int) -> None:
    text = cursors().mint(workspace, partition, offset)
    assert cursors().parse(text, workspace) == Cursor(partition, offset, int(NOON.timestamp()))


@given(st.text(max_size=200))
def test_any_text_is_refused_as_invalid_and_nothing_else_is_raised(text: str) -> None:
    assert refusal(text) == "invalid"


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_as_invalid(raw: bytes) -> None:
    assert refusal(raw.decode("latin-1")) == "invalid"
    assert refusal(raw.decode("utf-8", "surrogateescape")) == "invalid"


@given(st.integers(0, 63), st.sampled_from("ABCDefgh0123456789-_+/=é"))
def test_one_changed_character_is_refused(place: int, character: str) -> None:
    text = cursors().mint("acme", 3, 1234)
    changed = text[:place] + character + text[place + 1 :]
    if changed != text:
        assert refusal(changed) == "invalid"


def test_a_longer_or_shorter_cursor_is_refused() -> None:
    text = cursors().mint("acme", 3, 1234)
    assert [refusal(odd) for odd in ("", text[:-1], text + "A", text * 2, text + "=")] == ["invalid"] * 5


def test_a_cursor_of_another_key_is_invalid() -> None:
    assert refusal(cursors(key=b"another").mint("acme", 3, 1234)) == "invalid"


def test_a_cursor_of_another_workspace_is_foreign() -> None:
    assert refusal(cursors().mint("other", 3, 1234)) == "foreign"


def test_a_cursor_of_the_topics_earlier_life_is_recreated() -> None:
    assert refusal(cursors(incarnation="two").mint("acme", 3, 1234)) == "recreated"


def test_a_cursor_lasts_as_long_as_the_log() -> None:
    text = cursors(at=NOON - WEEK).mint("acme", 3, 1234)
    assert cursors().parse(text, "acme").offset == 1234
    assert refusal(cursors(at=NOON - WEEK - timedelta(seconds=1)).mint("acme", 3, 1234)) == "expired"


def test_a_cursor_may_be_as_new_as_another_replicas_clock_and_no_newer() -> None:
    skew = timedelta(seconds=CLOCK_SKEW_S)
    assert cursors().parse(cursors(at=NOON + skew).mint("acme", 3, 1234), "acme").offset == 1234
    assert refusal(cursors(at=NOON + skew + timedelta(seconds=1)).mint("acme", 3, 1234)) == "future"


def test_keys_change_without_a_cursor_that_counts_for_nothing() -> None:
    """Each step is a rolling restart: replicas of the step before and of this one read each other's cursors."""
    old, new = b"old", b"new"
    steps = [(old, ()), (old, (new,)), (new, (old,)), (new, ())]
    replicas = [Cursors(key, lambda: "one", StoppedClock(), WEEK.total_seconds(), accepted) for key, accepted in steps]
    for before, after in itertools.pairwise(replicas):
        for minting, reading in ((before, after), (after, before)):
            assert reading.parse(minting.mint("acme", 3, 7), "acme").offset == 7
    assert refusal(replicas[0].mint("acme", 3, 7), replicas[3]) == "invalid"
    assert refusal(replicas[1].mint("acme", 3, 7), replicas[2], "other") == "foreign"
