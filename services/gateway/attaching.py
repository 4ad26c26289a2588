"""What a reply may carry: media of the workspace that are ready, by the gateway's copy or by the media service."""

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import quote

from services.gateway.bodies import AttachmentBody
from shared.contracts.capabilities import Capabilities, carried
from shared.contracts.commands import SentAttachment
from shared.contracts.ids import object_key
from shared.contracts.media_types import kind_of
from shared.contracts.outbound import MediaRecord
from shared.contracts.resources import Media
from shared.contracts.wire import Undecodable, decode_as
from shared.runtime.auth import Principal
from shared.runtime.mongo import Collection
from shared.runtime.problems import Problem, unavailable
from shared.runtime.service_client import ServiceClient
from shared.runtime.topic_copy import TopicCopy


class KnownMedia(Protocol):
    async def find(self, workspace: str, key: str) -> MediaRecord | None:
        """A media as far as the gateway has heard."""


class AskedMedia(Protocol):
    async def ask(self, principal: Principal, media_id: str) -> Media | None:
        """A media as it is now, asked in the member's name. Problem 503."""


class MediaCopy(TopicCopy[MediaRecord]):
    """The compacted topic `media`."""

    def __init__(self, collection: Collection) -> None:
        super().__init__(collection, MediaRecord, lambda row: (row.workspace, row.media.version))


class RemoteMedia:
    """`AskedMedia`, by HTTP."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    async def ask(self, principal: Principal, media_id: str) -> Media | None:
        found = await self._service.find(f"/v1/media/{quote(media_id, safe='')}", principal.token)
        try:
            return None if found is None else decode_as(Media, found)
        except Undecodable:
            raise unavailable("The media service answered nonsense; nothing was sent.") from None


class Attaching:
    def __init__(self, known: KnownMedia, asked: AskedMedia) -> None:
        self._known = known
        self._asked = asked

    async def attachments(
        self, member: Principal, wanted: Sequence[AttachmentBody], channel: Capabilities
    ) -> tuple[SentAttachment, ...]:
        """In the order that was asked for. Problem 422, 409 or 503: each fault names its place."""
        found = [_checked(await self._found(member, one.media_id), channel) for one in wanted]
        faults = [
            {"field": f"attachments.{index}.media_id", "code": one.code, "detail": one.detail}
            for index, one in enumerate(found)
            if isinstance(one, Problem)
        ]
        first = next((one for one in found if isinstance(one, Problem)), None)
        if first is not None:
            raise Problem(first.status, first.code, first.detail, errors=faults, **first.extra)
        return tuple(one for one in found if isinstance(one, SentAttachment))

    async def _found(self, member: Principal, ident: str) -> SentAttachment | Problem:
        known = await self._known.find(member.workspace, ident)
        if known is not None and known.media.attachable:
            return sent(member.workspace, known.media)
        media = await self._asked.ask(member, ident)
        if media is not None and media.attachable:
            return sent(member.workspace, media)
        if media is None or media.state == "ready":  # taken out of the library
            return Problem(422, "UNKNOWN_MEDIA", "There is no such media.")
        if media.state == "rejected":
            return Problem(409, "MEDIA_REJECTED", f"The file was refused: {media.code}.")
        return Problem(409, "MEDIA_NOT_READY", "The file is not ready yet.")


def _checked(one: SentAttachment | Problem, channel: Capabilities) -> SentAttachment | Problem:
    """The refusal of what the channel cannot carry, before anything is sent."""
    if isinstance(one, Problem):
        return one
    out = carried(one, channel)
    if out is None:
        detail = f"This channel carries no {one.kind}."
        return Problem(422, "MEDIA_NOT_SUPPORTED", detail, allowed=list(channel.media))
    if out.kind != "voice" and not channel.takes(out.content_type):
        detail = f"This channel does not carry files of type {out.content_type}."
        return Problem(422, "MEDIA_NOT_SUPPORTED", detail, allowed=list(channel.content_types or ()))
    limit = channel.limit(out.kind)
    if out.size > limit:
        detail = f"This channel carries {out.kind} of at most {limit:,} bytes; this has {out.size:,}."
        return Problem(422, "MEDIA_TOO_LARGE", detail, limit=limit)
    return one


def sent(workspace: str, media: Media) -> SentAttachment:
    """With the keys of its objects, for dispatch to sign."""
    return SentAttachment(
        media_id=media.id,
        kind=kind_of(media.purpose, media.content_type),
        content_type=media.content_type,
        filename=media.filename,
        size=media.size,
        duration_s=media.duration_s,
        status="ready",
        objects={one.name: object_key(workspace, one.sha256) for one in media.renditions},
        sizes={one.name: one.size for one in media.renditions},
    )
