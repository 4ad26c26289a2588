"""The life of a media: begun, uploaded, checked, kept or refused, used, let go. Pure.

A library file is a media with a place in the library; both have the same id. Each change is a new `version`. Must not
know documents, HTTP, S3 or the clock.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from shared.contracts.ids import split_message_id
from shared.contracts.media_types import Purpose, kind_of, presentation
from shared.contracts.resources import AttachmentKind, MediaState, Rendition

UPLOAD_LASTS = timedelta(hours=1)
DRAFT_LASTS = timedelta(hours=24)
REFUSED_LASTS = timedelta(hours=24)
OBJECTS_LAST = timedelta(hours=48)
"""Objects outlive their last use by so long."""

ORIGINAL: Literal["original"] = "original"
ERASED = "CONTACT_ERASED"

MOST_SENT = 1_000
"""Of an agent's file that was sent in more conversations, the last so many count."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a media stands in the library."""

    name: str
    description: str | None
    added_by: str
    added_at: datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """A conversation as of one of its seqs."""

    conversation_id: str
    seq: int

    def covers(self, other: "Moment") -> bool:
        """Whether that was in the same conversation, and not later."""
        return other.conversation_id == self.conversation_id and other.seq <= self.seq


def moment_of(message_id: str) -> Moment:
    return Moment(*split_message_id(message_id))


@dataclass(frozen=True, slots=True)
class Carrier:
    """The inbound message that a media came with."""

    conversation_id: str
    message_id: str

    @property
    def moment(self) -> Moment:
        return moment_of(self.message_id)


@dataclass(frozen=True, slots=True)
class Media:
    """`size` in bytes, as declared until it was checked. `begun`: the conversation that a draft was begun for, as its
    maker saw it. `used`: a message refers to it; `sent`, of what an agent made for replies: the last one of each
    conversation. `removed`: deleted from the library, or discarded. `look_at`: when time alone changes it next. `gone`:
    only its last record is left."""

    workspace: str
    id: str
    purpose: Purpose
    state: MediaState
    content_type: str | None
    filename: str | None
    size: int | None
    created_by: str | None
    version: int = 1
    code: str | None = None
    duration_s: float | None = None
    waveform: tuple[float, ...] | None = None
    renditions: tuple[Rendition, ...] = ()
    library: Place | None = None
    carrier: Carrier | None = None
    begun: Moment | None = None
    used: bool = False
    sent: tuple[Moment, ...] = ()
    removed: bool = False
    gone: bool = False
    look_at: datetime | None = None

    @property
    def kind(self) -> AttachmentKind:
        return kind_of(self.purpose, self.content_type)

    @property
    def attachable(self) -> bool:
        return self.state == "ready" and not (self.removed or self.gone)

    @property
    def draft(self) -> bool:
        """Nobody but its maker knows of it yet."""
        return self.library is None and self.carrier is None and not self.used

    @property
    def erased(self) -> bool:
        """Nothing of it is left to be kept or brought back."""
        return self.code == ERASED

    @property
    def charged(self) -> int:
        """Bytes that the workspace's quota counts: what is kept, or what was announced."""
        if self.gone or (self.state == "rejected" and not self.renditions):
            return 0
        return sum(one.size for one in self.renditions) if self.renditions else self.size or 0

    def rendition(self, name: str) -> Rendition | None:
        return next((one for one in self.renditions if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Facts:
    """What checking found; `renditions` are stored already. `content_type`, `size`: of what is sent from now on."""

    renditions: tuple[Rendition, ...]
    content_type: str
    size: int
    duration_s: float | None = None
    waveform: tuple[float, ...] | None = None


def begun(media: Media, now: datetime) -> Media:
    """An upload that may come until `UPLOAD_LASTS` is over."""
    return replace(media, state="uploading", look_at=now + UPLOAD_LASTS)


def completed(media: Media) -> Media:
    """From here on a job takes care of it, not time."""
    return _next(media, state="processing", look_at=None)


def kept(media: Media, facts: Facts, now: datetime) -> Media:
    return _next(
        media,
        state="ready",
        content_type=facts.content_type,
        size=facts.size,
        filename=presentation(facts.content_type, media.filename).filename,
        renditions=facts.renditions,
        duration_s=facts.duration_s,
        waveform=facts.waveform,
        look_at=now + DRAFT_LASTS if media.draft else None,
    )


def refused(media: Media, code: str, now: datetime) -> Media:
    """What came with a message says for ever why it isn't there; all else is forgotten after a day."""
    return _next(media, state="rejected", code=code, look_at=None if media.carrier else now + REFUSED_LASTS)


def used(media: Media, message: Moment) -> Media:
    """A message refers to it. That counts, even where a draft expired or was discarded at the same time; an erasure is
    for good."""
    sent = _sent(media, message)
    if media.gone or media.erased or (media.used and sent == media.sent):
        return media
    if media.state == "rejected" and media.renditions:
        return _next(media, state="ready", code=None, used=True, sent=sent, look_at=None)
    return _next(media, used=True, sent=sent, look_at=None if media.state == "ready" else media.look_at)


def _sent(media: Media, message: Moment) -> tuple[Moment, ...]:
    """What the library has, or a customer sent, is theirs, wherever else it was sent."""
    if media.library or media.carrier or any(one.covers(message) for one in media.sent):
        return media.sent
    return (*(one for one in media.sent if not message.covers(one)), message)[-MOST_SENT:]


def erased(media: Media, end: Moment, now: datetime) -> Media:
    """Without what it has of the conversation's time up to `end`; the same one where that is nothing (any more).

    A customer's file goes with its message, also where an agent sent it on. What an agent made goes with the last
    message that has it or, not sent yet, with the conversation that it was begun for.
    """
    if media.library or media.erased:
        return media
    if media.carrier is not None:
        return _wiped(media, now) if end.covers(media.carrier.moment) else media
    sent = tuple(one for one in media.sent if not end.covers(one))
    begun = None if media.begun and end.covers(media.begun) else media.begun
    if not sent and (media.sent or begun != media.begun):
        return _wiped(media, now)
    return media if (sent, begun) == (media.sent, media.begun) else _next(media, sent=sent, begun=begun)


def _wiped(media: Media, now: datetime) -> Media:
    """Also of one that is gone, while its document waits."""
    nothing = {"content_type": None, "filename": None, "size": None, "duration_s": None, "waveform": None}
    look_at = None if media.gone else now + REFUSED_LASTS
    return _next(media, state="rejected", code=ERASED, renditions=(), sent=(), look_at=look_at, **nothing)


def described(media: Media, name: str, description: str | None) -> Media:
    """The same one where nothing changes."""
    assert media.library is not None
    library = replace(media.library, name=name, description=description)
    return media if library == media.library else _next(media, library=library, filename=name)


def removed(media: Media, now: datetime) -> Media:
    """Out of the library. What was sent with it stays; an upload under way comes to nothing."""
    if media.state in ("uploading", "processing"):
        media = replace(media, state="rejected", code="DISCARDED")
    return _next(media, removed=True, look_at=None if media.used else now + OBJECTS_LAST)


def discarded(media: Media, now: datetime) -> Media:
    """A draft that its maker doesn't want."""
    return _next(media, state="rejected", code="DISCARDED", removed=True, look_at=now + OBJECTS_LAST)


def looked_at(media: Media, now: datetime) -> Media:
    """What time made of it at its `look_at`; the same one before that."""
    if media.look_at is None or now < media.look_at:
        return media
    if media.state == "uploading":
        return refused(media, "UPLOAD_EXPIRED", now)
    if media.state == "ready" and not media.removed:
        return _next(media, state="rejected", code="MEDIA_EXPIRED", look_at=now + OBJECTS_LAST)
    return _next(media, gone=True, look_at=None)


def _next(media: Media, **changes: object) -> Media:
    return replace(media, version=media.version + 1, **changes)  # type: ignore[arg-type]
