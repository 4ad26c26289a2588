"""A media as a document, and back."""

from collections.abc import Mapping
from typing import Any

from services.media.core import Carrier, Media, Moment, Place
from shared.contracts.ids import document_key, object_key
from shared.contracts.resources import Rendition
from shared.runtime.folding import folded
from shared.runtime.mongo import Document


def document_of(media: Media) -> Document:
    """Without what others write: the upload, the job, `pending`. `objects` and `search` are there for queries only."""
    return {
        "_id": document_key(media.workspace, media.id),
        "workspace": media.workspace,
        "id": media.id,
        "purpose": media.purpose,
        "state": media.state,
        "content_type": media.content_type,
        "filename": media.filename,
        "size": media.size,
        "created_by": media.created_by,
        "version": media.version,
        "code": media.code,
        "duration_s": media.duration_s,
        "waveform": None if media.waveform is None else list(media.waveform),
        "renditions": [one.model_dump() for one in media.renditions],
        "library": _library(media),
        "carrier": media.carrier and [media.carrier.conversation_id, media.carrier.message_id],
        "conversation": media.begun and media.begun.conversation_id,
        "begun_seq": media.begun and media.begun.seq,
        "used": media.used,
        "sent": [{"conversation": one.conversation_id, "seq": one.seq} for one in media.sent],
        "removed": media.removed,
        "gone": media.gone,
        "look_at": media.look_at,
        "objects": [] if media.gone else [object_key(media.workspace, one.sha256) for one in media.renditions],
    }


def media_of(row: Mapping[str, Any]) -> Media:
    place, carrier, waveform = row["library"], row["carrier"], row["waveform"]
    return Media(
        workspace=row["workspace"],
        id=row["id"],
        purpose=row["purpose"],
        state=row["state"],
        content_type=row["content_type"],
        filename=row["filename"],
        size=row["size"],
        created_by=row["created_by"],
        version=row["version"],
        code=row["code"],
        duration_s=row["duration_s"],
        waveform=None if waveform is None else tuple(waveform),
        renditions=tuple(Rendition.model_validate(one) for one in row["renditions"]),
        library=place and Place(place["name"], place["description"], place["added_by"], place["added_at"]),
        carrier=carrier and Carrier(*carrier),
        begun=_begun(row),
        used=row["used"],
        sent=_sent(row),
        removed=row["removed"],
        gone=row["gone"],
        look_at=row["look_at"],
    )


def _begun(row: Mapping[str, Any]) -> Moment | None:
    conversation = row.get("conversation")
    return Moment(conversation, row.get("begun_seq") or 0) if conversation else None


def _sent(row: Mapping[str, Any]) -> tuple[Moment, ...]:
    """Before messages were noted, drafts were sent where they were begun."""
    if "sent" in row:
        return tuple(Moment(one["conversation"], one["seq"]) for one in row["sent"])
    begun = _begun(row)
    return (begun,) if begun and row["used"] else ()


def _library(media: Media) -> Document | None:
    place = media.library
    if place is None:
        return None
    return {
        "name": place.name,
        "description": place.description,
        "added_by": place.added_by,
        "added_at": place.added_at,
        "search": folded(f"{place.name}\n{place.description or ''}"),
    }
