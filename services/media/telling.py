"""What is told of a media: its row of the compacted topic, its shapes in the API, its events. Pure."""

from typing import Any
from uuid import UUID, uuid5

from services.media.core import Media
from shared.contracts import resources
from shared.contracts.events import (
    TYPE_OF,
    CloudEvent,
    FileAdded,
    FileRemoved,
    MediaReady,
    MediaRejected,
)
from shared.contracts.ids import canonical
from shared.contracts.outbound import MediaRecord
from shared.contracts.times import to_timestamp

_CHANGES = uuid5(UUID(int=0), "relaydesk.media")


def shown(media: Media) -> resources.Media:
    return resources.Media(
        id=media.id,
        purpose=media.purpose,
        state=media.state,
        code=media.code,
        content_type=media.content_type,
        filename=media.filename,
        size=media.size,
        duration_s=media.duration_s,
        waveform=media.waveform,
        renditions=media.renditions,
        attachable=media.attachable,
        version=media.version,
    )


def shown_file(media: Media) -> resources.LibraryFile:
    place = media.library
    assert place is not None and media.content_type is not None
    return resources.LibraryFile(
        id=media.id,
        media_id=media.id,
        name=place.name,
        description=place.description,
        content_type=media.content_type,
        size=media.size or 0,
        state=media.state,
        code=media.code,
        added_by=place.added_by,
        added_at=to_timestamp(place.added_at),
        version=media.version,
    )


def record(media: Media) -> MediaRecord:
    return MediaRecord(workspace=media.workspace, media=shown(media))


def events(before: Media, after: Media, actor: str, time: str) -> list[CloudEvent]:
    """What members hear of a change. The same versions make the same ids."""
    return [_event(after, data, actor, time) for data in _news(before, after)]


def _news(before: Media, after: Media) -> list[MediaReady | MediaRejected | FileAdded | FileRemoved]:
    news: list[MediaReady | MediaRejected | FileAdded | FileRemoved] = []
    listed = after.library is not None and not after.removed
    if after.state == "ready" and before.state == "processing":
        news.append(MediaReady(**_place(after), attachment=attachment(after)))
    if after.state == "rejected" and before.state in ("uploading", "processing") and not _untold(after):
        news.append(MediaRejected(**_place(after), code=after.code or "UNREADABLE"))
    if listed and after.state == "ready" and (before.state != "ready" or before.library != after.library):
        news.append(FileAdded(file=shown_file(after)))
    if after.library is not None and after.removed and not before.removed and before.state == "ready":
        news.append(FileRemoved(file=shown_file(before)))
    return news


def _untold(media: Media) -> bool:
    """Whoever took it away knows; and nobody has the message of an erased one any more."""
    return media.removed or (media.erased and media.carrier is not None)


def attachment(media: Media) -> resources.Attachment:
    return resources.Attachment(
        media_id=media.id,
        kind=media.kind,
        content_type=media.content_type,
        filename=media.filename,
        size=media.size,
        duration_s=media.duration_s,
        status="ready" if media.state == "ready" else "rejected" if media.state == "rejected" else "pending",
    )


def _place(media: Media) -> dict[str, Any]:
    carrier, begun = media.carrier, media.begun
    return {
        "media_id": media.id,
        "conversation_id": carrier.conversation_id if carrier else begun and begun.conversation_id,
        "message_id": carrier.message_id if carrier else None,
    }


def _event(
    media: Media, data: MediaReady | MediaRejected | FileAdded | FileRemoved, actor: str, time: str
) -> CloudEvent:
    """Of a draft only its maker hears."""
    kind = TYPE_OF[type(data)]
    ident = str(uuid5(_CHANGES, canonical(media.workspace, media.id, media.version, kind)))
    return CloudEvent(
        id=ident,
        type=kind,
        source="relaydesk/media",
        subject=media.id,
        time=time,
        workspace=media.workspace,
        version=media.version,
        causationid=ident,
        actor=actor,
        audience=f"agent:{media.created_by}" if media.draft and media.created_by else None,
        data=data.model_dump(mode="json"),
    )
