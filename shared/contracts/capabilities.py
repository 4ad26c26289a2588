"""What each kind of channel can carry, and what one channel says of itself (DESIGN 11, the capability table).

An adapter behind a `webhook` channel stands for any messenger: its channel narrows the kind's row by
`settings.capabilities`, and what goes beyond that is refused before it is sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.contracts.commands import SentAttachment
from shared.contracts.media_types import MEDIA_TYPES, MIB, OPAQUE, RENDITION_TYPES, media_type_of
from shared.contracts.resources import AttachmentKind
from shared.contracts.shape import MAX_TEXT

ALL_KINDS: tuple[AttachmentKind, ...] = ("image", "audio", "voice", "video", "file")
MAX_BYTES: Mapping[AttachmentKind, int] = dict.fromkeys(ALL_KINDS, 100 * MIB) | {"image": 20 * MIB, "voice": 512_000}


class Capabilities(BaseModel):
    """`text_limit`: characters. `voice`: plays voice messages in place; other channels get them as files. `media`:
    kinds of attachments. `max_bytes`: of each kind. `content_types`: None for all that are kept. `receipts`: tells what
    was delivered and read. `idempotent`: recognizes a repeat by our message id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text_limit: Annotated[int, Field(ge=1, le=MAX_TEXT)] = MAX_TEXT
    voice: bool = True
    media: tuple[AttachmentKind, ...] = ALL_KINDS
    max_bytes: dict[AttachmentKind, Annotated[int, Field(ge=1)]] = Field(default_factory=lambda: dict(MAX_BYTES))
    content_types: tuple[str, ...] | None = None
    receipts: bool = True
    idempotent: bool = True

    def carried_as(self, kind: AttachmentKind) -> AttachmentKind | None:
        """What an attachment becomes on this channel; None where it cannot go at all."""
        if kind != "voice":
            return kind if kind in self.media else None
        if self.voice and "voice" in self.media:
            return "voice"
        return next((other for other in ("audio", "file") if other in self.media), None)

    def takes(self, content_type: str) -> bool:
        known = media_type_of(content_type)
        return self.content_types is None or (known is not None and known.name in self.content_types)

    def limit(self, kind: AttachmentKind) -> int:
        """Bytes."""
        return self.max_bytes.get(kind, MAX_BYTES[kind])


class _Narrowed(BaseModel):
    """`settings.capabilities`. Whether repeats are recognized is no matter of settings: the contract asks for it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    text_limit: Annotated[int, Field(ge=1, le=MAX_TEXT)] | None = None
    voice: bool | None = None
    media: Annotated[list[AttachmentKind], Field(max_length=len(ALL_KINDS))] | None = None
    max_bytes: dict[AttachmentKind, Annotated[int, Field(ge=1, le=1 << 40)]] | None = None
    content_types: Annotated[list[str], Field(max_length=len(MEDIA_TYPES))] | None = None
    receipts: bool | None = None


KINDS: Mapping[str, Capabilities] = {"webhook": Capabilities()}
"""The table."""


@dataclass(frozen=True, slots=True)
class Carried:
    """An attachment as it goes out on a channel: which of its renditions, as what, of how many bytes."""

    kind: AttachmentKind
    rendition: str
    content_type: str
    size: int


def carried(sent: SentAttachment, channel: Capabilities) -> Carried | None:
    """None where it cannot go. A recording goes as what messengers play in place, or as a plain file that all play."""
    kind = channel.carried_as(sent.kind)
    if kind is None:
        return None
    wanted = ("ogg", "m4a") if kind == "voice" else ("m4a", "ogg") if sent.kind == "voice" else ()
    name = next((one for one in wanted if one in sent.objects), "original")
    content_type = RENDITION_TYPES.get(name, sent.content_type or OPAQUE)
    return Carried(kind, name, content_type, sent.sizes.get(name, sent.size or 0))


def fault(settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """The dotted field of `settings.capabilities` that cannot be, and why; None where all is well."""
    said = settings.get("capabilities")
    if said is None:
        return None
    try:
        narrowed = _Narrowed.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return ".".join(("settings.capabilities", *map(str, first["loc"]))), first["msg"]
    unknown = [name for name in narrowed.content_types or () if name not in MEDIA_TYPES]
    if unknown:
        return "settings.capabilities.content_types", "only types that are kept at all: see docs/files.md"
    return None


def capabilities_of(kind: str, settings: Mapping[str, Any]) -> Capabilities:
    """Of one channel: its kind's row, narrowed by what the channel says. What cannot be read narrows nothing."""
    row = KINDS.get(kind, Capabilities())
    if not settings.get("capabilities") or fault(settings) is not None:
        return row
    said = _Narrowed.model_validate(settings["capabilities"]).model_dump(exclude_none=True)
    if "max_bytes" in said:
        said["max_bytes"] = {one: min(limit, row.limit(one)) for one, limit in said["max_bytes"].items()}
        said["max_bytes"] = row.max_bytes | said["max_bytes"]
    return Capabilities.model_validate(row.model_dump() | said)
