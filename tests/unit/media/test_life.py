"""The life of a media: every step a new version, nothing lost that a message refers to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.media import core
from services.media.core import Facts, Media, Moment, Place
from services.media.telling import events, record
from shared.contracts.resources import Rendition

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
TIME = "2026-11-24T09:30:00.000Z"
IDENT = "a0c4e42c-45fc-5bfa-bdab-fb8e3df97082"
DAY = timedelta(days=1)
FACTS = Facts((Rendition(name="original", content_type="image/png", size=90, sha256="ab" * 32),), "image/png", 90)
DRAFT = Media("acme", IDENT, "attachment", "uploading", "image/png", "a.png", 100, "grace")
SENT = Moment("8d5ba2b4-6a05-5f0e-8a3d-5a7f2ad21d6c", 4)
FILE = replace(DRAFT, library=Place("a.png", None, "grace", NOW))


def ready(media: Media) -> Media:
    return core.kept(core.completed(core.begun(media, NOW)), FACTS, NOW)


def kinds(before: Media, after: Media) -> list[str]:
    return [event.type.removeprefix("relaydesk.") for event in events(before, after, "agent:grace", TIME)]


def test_a_file_becomes_ready_and_everybody_hears_of_it() -> None:
    before = core.completed(core.begun(FILE, NOW))
    after = core.kept(before, FACTS, NOW)
    assert (after.state, after.version, after.look_at) == ("ready", 3, None)
    told = events(before, after, "agent:grace", TIME)
    assert [(event.type, event.audience, event.version) for event in told] == [
        ("relaydesk.media.ready.v1", None, 3),
        ("relaydesk.file.added.v1", None, 3),
    ]
    assert len({event.id for event in told}) == 2
    assert record(after).media.attachable


def test_of_a_draft_only_its_maker_hears() -> None:
    before = core.completed(core.begun(DRAFT, NOW))
    (event,) = events(before, core.kept(before, FACTS, NOW), "agent:grace", TIME)
    assert event.audience == "agent:grace"


def test_an_upload_that_nobody_completes_ends_and_is_forgotten() -> None:
    begun = core.begun(FILE, NOW)
    assert core.looked_at(begun, NOW + core.UPLOAD_LASTS - DAY / 1000) is begun
    expired = core.looked_at(begun, NOW + core.UPLOAD_LASTS)
    assert (expired.state, expired.code, expired.charged) == ("rejected", "UPLOAD_EXPIRED", 0)
    assert expired.look_at is not None
    assert core.looked_at(expired, expired.look_at).gone


def test_a_draft_that_is_not_sent_expires_and_one_that_was_sent_never_does() -> None:
    draft = ready(DRAFT)
    assert draft.look_at == NOW + core.DRAFT_LASTS
    assert core.used(draft, SENT).look_at is None
    expired = core.looked_at(draft, NOW + core.DRAFT_LASTS)
    assert (expired.code, expired.charged, expired.attachable) == ("MEDIA_EXPIRED", 90, False)


def test_a_message_that_was_accepted_while_its_draft_expired_keeps_it() -> None:
    expired = core.looked_at(ready(DRAFT), NOW + core.DRAFT_LASTS)
    kept = core.used(expired, SENT)
    assert (kept.state, kept.code, kept.look_at) == ("ready", None, None)


def test_a_file_taken_out_of_the_library_is_kept_where_it_was_sent() -> None:
    sent = core.removed(core.used(ready(FILE), SENT), NOW)
    assert (sent.state, sent.attachable, sent.look_at) == ("ready", False, None)
    unsent = core.removed(ready(FILE), NOW)
    assert unsent.look_at == NOW + core.OBJECTS_LAST
    assert core.used(unsent, SENT).look_at is None
    assert core.looked_at(unsent, NOW + core.OBJECTS_LAST).gone
    assert kinds(ready(FILE), unsent) == ["file.removed.v1"]


def test_a_file_taken_away_while_it_is_checked_comes_to_nothing() -> None:
    removed = core.removed(core.completed(core.begun(FILE, NOW)), NOW)
    assert (removed.state, removed.charged) == ("rejected", 0)


def test_a_new_name_is_told_and_the_same_name_is_no_change() -> None:
    file = ready(FILE)
    assert core.described(file, "a.png", None) is file
    renamed = core.described(file, "b.png", "blue")
    assert kinds(file, renamed) == ["file.added.v1"]
    assert renamed.filename == "b.png"


def test_a_message_that_was_accepted_while_its_draft_was_discarded_keeps_it() -> None:
    kept = core.used(core.discarded(ready(DRAFT), NOW), SENT)
    assert (kept.state, kept.code, kept.look_at, kept.attachable) == ("ready", None, None, False)


STEPS = st.sampled_from(["discard", "complete", "keep", "refuse", "use", "remove", "look", "later", "erase"])


def stepped(media: Media, step: str, now: datetime) -> Media:
    """The same one where the step isn't possible now."""
    match step:
        case "complete" if media.state == "uploading":
            return core.completed(media)
        case "keep" if media.state == "processing":
            return core.kept(media, FACTS, now)
        case "refuse" if media.state == "processing":
            return core.refused(media, "UNREADABLE", now)
        case "discard" if media.draft and not media.removed:
            return core.discarded(media, now)
        case "remove" if media.library is not None and not media.removed:
            return core.removed(media, now)
        case "use":
            return core.used(media, SENT)
        case "erase":
            return core.erased(media, SENT, now)
        case "look":
            return core.looked_at(media, now)
        case _:
            return media


@given(st.booleans(), st.lists(STEPS, max_size=20))
def test_whatever_happens_what_is_used_stays_and_versions_rise(library: bool, steps: list[str]) -> None:
    now, media = NOW, core.begun(FILE if library else DRAFT, NOW)
    for step in steps:
        now += timedelta(hours=20 if step == "later" else 0)
        before, media = media, stepped(media, step, now)
        assert media is before or media.version == before.version + 1
        assert not (media.gone and before.used and before.renditions)
        assert media.charged > 0 or media.state == "rejected" or media.gone
        if media.gone:
            return
