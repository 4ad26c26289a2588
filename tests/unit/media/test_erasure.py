"""What an erasure takes out of media, what it leaves, and that nothing brings it back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.media import core
from services.media.core import Carrier, Facts, Media, Moment, Place
from services.media.documents import document_of, media_of
from services.media.telling import events, record, shown
from shared.contracts.ids import message_id
from shared.contracts.resources import Rendition

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
TIME = "2026-11-24T09:30:00.000Z"
HERE, THERE = "36865d94-dda1-53bd-b0bb-463852e73269", "fc02c6e7-2ce2-5d74-874d-a16185733b3c"
END = Moment(HERE, 13)
RENDITIONS = tuple(
    Rendition(name=name, content_type="audio/ogg", size=90, sha256=name * 9) for name in ("ogg", "m4a", "original")
)
FACTS = Facts(RENDITIONS, "audio/ogg; codecs=opus", 90, 2.5, (0.5,) * 64)
EMPTY = Media("acme", "a0c4e42c-45fc-5bfa-bdab-fb8e3df97082", "voice", "uploading", "audio/ogg", "a.ogg", 99, "grace")
DRAFT = replace(EMPTY, begun=Moment(HERE, 4))
ELSEWHERE = replace(EMPTY, begun=Moment(THERE, 4))
FILE = replace(EMPTY, library=Place("a.ogg", None, "grace", NOW))


def ready(media: Media) -> Media:
    return core.kept(core.completed(core.begun(media, NOW)), FACTS, NOW)


def came(conversation: str, seq: int) -> Media:
    carrier = Carrier(conversation, message_id(conversation, seq))
    return replace(EMPTY, created_by=None, carrier=carrier, state="processing", used=True)


def sent(media: Media, *messages: Moment) -> Media:
    for message in messages:
        media = core.used(media, message)
    return media


@pytest.mark.parametrize(
    "media",
    [
        core.begun(DRAFT, NOW),
        core.completed(core.begun(DRAFT, NOW)),
        ready(DRAFT),
        core.discarded(ready(DRAFT), NOW),
        core.looked_at(ready(DRAFT), NOW + core.DRAFT_LASTS),
        sent(ready(DRAFT), Moment(HERE, 13)),
        sent(ready(ELSEWHERE), Moment(HERE, 5), Moment(HERE, 9)),
        came(HERE, 13),
        core.kept(came(HERE, 2), FACTS, NOW),
        core.refused(came(HERE, 2), "UNREADABLE", NOW),
        sent(core.kept(came(HERE, 2), FACTS, NOW), Moment(THERE, 3)),
        sent(core.kept(came(HERE, 2), FACTS, NOW), Moment(HERE, 14)),
    ],
)
def test_nothing_is_left_of_what_belongs_to_the_time_before(media: Media) -> None:
    after = core.erased(media, END, NOW)
    assert (after.state, after.code, after.version) == ("rejected", "CONTACT_ERASED", media.version + 1)
    told = shown(after)
    assert (told.filename, told.content_type, told.size, told.duration_s, told.waveform) == (None,) * 5
    assert (told.renditions, told.attachable, after.charged) == ((), False, 0)
    assert record(after).media == told
    assert document_of(after)["objects"] == []
    assert core.erased(after, END, NOW) is after
    assert after.look_at is not None and core.looked_at(after, after.look_at).gone


@pytest.mark.parametrize(
    "media",
    [
        ready(FILE),
        replace(sent(ready(DRAFT), Moment(HERE, 5)), library=FILE.library),
        sent(ready(FILE), Moment(HERE, 5)),
        core.removed(sent(ready(FILE), Moment(HERE, 5)), NOW),
        ready(ELSEWHERE),
        ready(replace(EMPTY, begun=Moment(HERE, 14))),
        sent(ready(ELSEWHERE), Moment(HERE, 14)),
        sent(ready(ELSEWHERE), Moment(HERE, 5), Moment(HERE, 14)),
        came(HERE, 14),
        core.kept(came(HERE, 14), FACTS, NOW),
        core.kept(came(THERE, 2), FACTS, NOW),
        sent(core.kept(came(THERE, 2), FACTS, NOW), Moment(HERE, 5)),
    ],
)
def test_what_the_library_has_or_others_or_came_afterwards_stays_as_it_is(media: Media) -> None:
    assert core.erased(media, END, NOW) is media


def test_what_was_sent_elsewhere_too_goes_with_the_last_that_has_it() -> None:
    media = sent(ready(DRAFT), Moment(HERE, 5), Moment(THERE, 6))
    after = core.erased(media, END, NOW)
    assert (after.state, after.renditions, after.sent, after.begun) == ("ready", RENDITIONS, (Moment(THERE, 6),), None)
    assert core.erased(after, END, NOW) is after
    assert core.erased(after, Moment(THERE, 6), NOW).erased


def test_the_document_of_one_that_is_gone_is_emptied_too() -> None:
    gone = core.looked_at(core.discarded(ready(DRAFT), NOW), NOW + core.OBJECTS_LAST)
    after = core.erased(gone, END, NOW)
    assert (after.gone, after.filename, after.renditions, after.look_at) == (True, None, (), None)


def test_whoever_waits_for_a_draft_hears_of_it_and_nobody_of_a_message_that_is_gone() -> None:
    for media, heard in (
        (core.completed(core.begun(DRAFT, NOW)), [("relaydesk.media.rejected.v1", "agent:grace")]),
        (ready(DRAFT), []),
        (came(HERE, 2), []),
    ):
        told = events(media, core.erased(media, END, NOW), "system", TIME)
        assert [(event.type, event.audience) for event in told] == heard


def test_a_media_says_as_a_document_where_it_was_begun_and_sent() -> None:
    for media in (sent(ready(DRAFT), Moment(HERE, 5), Moment(THERE, 6)), came(HERE, 3), FILE):
        assert media_of(document_of(media)) == media


@pytest.mark.parametrize("used", [False, True])
def test_a_document_from_before_messages_were_noted_was_sent_where_it_was_begun(used: bool) -> None:
    row = document_of(replace(ready(DRAFT), used=used))
    del row["begun_seq"], row["sent"]
    former = media_of(row)
    assert core.erased(former, Moment(HERE, 1), NOW).erased
    assert core.erased(sent(former, Moment(THERE, 2)), Moment(THERE, 2), NOW).erased is not used


def test_messages_are_noted_once_and_not_without_end() -> None:
    media = sent(ready(DRAFT), Moment(HERE, 5), Moment(HERE, 7))
    assert media.sent == (Moment(HERE, 7),)
    assert core.used(media, Moment(HERE, 5)) is media
    for number in range(core.MOST_SENT + 5):
        media = core.used(media, Moment(f"{number}", 1))
    assert len(media.sent) == core.MOST_SENT
    assert sent(ready(FILE), Moment(HERE, 5)).sent == ()


MOMENTS = st.builds(Moment, st.sampled_from([HERE, THERE]), st.integers(10, 16))


@given(st.lists(MOMENTS, min_size=1, max_size=4), st.integers(0, 4))
def test_a_message_that_is_noted_late_ends_as_one_that_was_noted_in_time(messages: list[Moment], late: int) -> None:
    """Whoever notes a message looks for the erasure afterwards. Only what is sent elsewhere may be too late."""
    media, stays = ready(replace(EMPTY, begun=Moment("nowhere", 1))), [one for one in messages if not END.covers(one)]
    for number, message in enumerate(messages):
        media = core.used(media, message)
        media = core.erased(media, END, NOW) if number >= late else media
    media = core.erased(media, END, NOW)
    if not stays:
        assert media.erased
    if late >= len(messages) or len(stays) == len(messages):
        assert media.erased is not bool(stays)
    assert media.erased or not any(END.covers(one) for one in media.sent)


@given(st.lists(st.sampled_from(["use", "look", "erase", "discard"]), max_size=8), st.sampled_from([0, 30]))
def test_nothing_brings_it_back(steps: list[str], hours: int) -> None:
    media, now = core.erased(sent(ready(DRAFT), Moment(HERE, 5)), END, NOW), NOW
    for step in steps:
        now += timedelta(hours=hours)
        before = media
        match step:
            case "use":
                media = core.used(media, Moment(HERE, 14))
                assert media is before or not before.erased
            case "look":
                media = core.looked_at(media, now)
            case "discard":
                media = media if media.gone else core.discarded(media, now)
            case _:
                media = core.erased(media, END, now)
        assert (media.attachable, media.renditions, media.filename, media.charged) == (False, (), None, 0)
        assert media is before or media.version == before.version + 1
