"""The routes of media: the library of files, and what became of a media."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import FastAPI, Query, Response

from services.media.bodies import FileBody, FileChanges, MediaBody
from services.media.core import ORIGINAL, Media, described, removed
from services.media.filenames import BadName, checked_name
from services.media.store import Change, Listing, MediaStore, Stale
from services.media.telling import shown, shown_file
from services.media.uploading import Announced, Upload, Uploading
from shared.contracts.ids import object_key
from shared.contracts.media_types import presentation
from shared.contracts.times import from_timestamp, to_timestamp
from shared.runtime.auth import Principal
from shared.runtime.clock import Clock
from shared.runtime.etags import IfMatch, check_if_match, etag, stale
from shared.runtime.http import Caller, Json, Limit, Problem, not_found, route
from shared.runtime.s3 import ObjectStore, Shown

LINK_LASTS = timedelta(minutes=5)
UNSNIFFED = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
FOR_ALL = ("ready",)
FOR_WRITERS = ("ready", "processing", "rejected")

Asked = Annotated[str, Query(max_length=200)]
After = Annotated[str, Query(max_length=100)]

_AFTER = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)_([0-9a-f-]{36})")


@dataclass(frozen=True)
class MediaRoutes:
    store: MediaStore
    uploading: Uploading
    objects: ObjectStore
    clock: Clock

    def add(self, app: FastAPI) -> None:
        route(app, "GET", "/v1/files")(self.files)
        route(app, "POST", "/v1/files", status=201)(self.add_file)
        route(app, "GET", "/v1/files/{file_id}")(self.file)
        route(app, "PATCH", "/v1/files/{file_id}")(self.change_file)
        route(app, "DELETE", "/v1/files/{file_id}", status=204)(self.remove_file)
        route(app, "POST", "/v1/files/{file_id}/complete", status=202)(self.complete_file)
        route(app, "GET", "/v1/files/{file_id}/content", status=302)(self.file_content)
        route(app, "POST", "/v1/media", status=201)(self.begin)
        route(app, "POST", "/v1/media/{media_id}/complete", status=202)(self.complete)
        route(app, "DELETE", "/v1/media/{media_id}", status=204)(self.discard)
        route(app, "GET", "/v1/media/{media_id}")(self.media)
        route(app, "GET", "/v1/media/{media_id}/content", status=302)(self.media_content)

    async def files(self, principal: Caller, q: Asked = "", limit: Limit = 50, after: After = "") -> Json:
        """Writers also see what is being checked and what was refused."""
        states = FOR_ALL if principal.role == "agent" else FOR_WRITERS
        found = await self.store.files(principal.workspace, Listing(q, states, limit + 1, _read_after(after)))
        items = found[:limit]
        following = _after(items[-1]) if len(found) > limit else None
        return Json({"items": [_file(media) for media in items], "next": following})

    async def add_file(self, principal: Caller, body: FileBody) -> Json:
        announced = Announced(body.name, body.content_type, body.size)
        upload = await self.uploading.begin_file(principal, announced, _text(body.description))
        return Json({"id": upload.media.id, **_ticket(upload)}, 201)

    async def file(self, principal: Caller, file_id: str) -> Json:
        media = await self._file(principal, file_id)
        return Json(_file(media), 200, etag(media.version))

    async def change_file(self, principal: Caller, file_id: str, body: FileChanges, if_match: IfMatch = None) -> Json:
        media = await self._file(principal, file_id)
        check_if_match(media.version, if_match)
        assert media.library is not None
        name = media.library.name if body.name is None else _named(body.name)
        told = "description" in body.model_fields_set
        after = described(media, name, _text(body.description) if told else media.library.description)
        if after is not media:
            await self._change(principal, media, after)
        return Json(_file(after), 200, etag(after.version))

    async def remove_file(self, principal: Caller, file_id: str, if_match: IfMatch = None) -> Response:
        media = await self._file(principal, file_id)
        check_if_match(media.version, if_match)
        await self._change(principal, media, removed(media, self.clock.now()))
        return Response(status_code=204)

    async def complete_file(self, principal: Caller, file_id: str) -> Json:
        media = await self._file(principal, file_id)
        return Json(_file(await self.uploading.complete(principal, media)), 202)

    async def file_content(self, principal: Caller, file_id: str) -> Response:
        return self._content(await self._file(principal, file_id), ORIGINAL)

    async def begin(self, principal: Caller, body: MediaBody) -> Json:
        announced = Announced(body.filename, body.content_type, body.size, body.purpose)
        return Json(_ticket(await self.uploading.begin_draft(principal, announced, body.conversation_id)), 201)

    async def complete(self, principal: Caller, media_id: str) -> Json:
        """By whoever began it; a library file's has its own path, for writers."""
        media = await self._media(principal, media_id)
        if media.created_by != principal.member_id or media.library is not None:
            raise not_found("There is no such upload of yours.")
        return Json(shown(await self.uploading.complete(principal, media)).model_dump(mode="json"), 202)

    async def discard(self, principal: Caller, media_id: str) -> Response:
        await self.uploading.discard(principal, await self._media(principal, media_id))
        return Response(status_code=204)

    async def media(self, principal: Caller, media_id: str) -> Json:
        media = await self._media(principal, media_id)
        return Json(shown(media).model_dump(mode="json"), 200, etag(media.version))

    async def media_content(self, principal: Caller, media_id: str, rendition: Asked = "") -> Response:
        """Without `rendition`: the original, or of a recording what is sent."""
        media = await self._media(principal, media_id)
        return self._content(media, rendition or (media.renditions[0].name if media.renditions else ORIGINAL))

    def _content(self, media: Media, name: str) -> Response:
        """To a URL of the object store, which looks at nothing but the signature: hence its short life."""
        if media.state == "rejected":
            raise Problem(409, "MEDIA_REJECTED", f"The file was refused: {media.code}.", reason=media.code)
        if media.state != "ready":
            raise Problem(409, "MEDIA_NOT_READY", "The file is not ready yet.")
        rendition = media.rendition(name)
        if rendition is None:
            raise not_found("There is no such rendition.")
        as_seen = presentation(rendition.content_type, media.filename)
        look = Shown(as_seen.content_type, as_seen.filename, as_seen.inline)
        url = self.objects.presign_get(object_key(media.workspace, rendition.sha256), LINK_LASTS, look)
        return Response(status_code=302, headers={"Location": url, **UNSNIFFED})

    async def _file(self, principal: Principal, ident: str) -> Media:
        media = await self.store.find_file(principal.workspace, ident)
        if media is None:
            raise not_found("There is no such file.")
        return media

    async def _media(self, principal: Principal, ident: str) -> Media:
        media = await self.store.find(principal.workspace, ident)
        if media is None or media.code == "DISCARDED":
            raise not_found("There is no such media.")
        return media

    async def _change(self, principal: Principal, before: Media, after: Media) -> None:
        try:
            await self.store.change(before, after, Change(principal.actor, self.clock.now()))
        except Stale:
            raise stale() from None


def _file(media: Media) -> dict[str, Any]:
    return shown_file(media).model_dump(mode="json")


def _ticket(upload: Upload) -> dict[str, Any]:
    headers = {"Content-Type": upload.media.content_type}
    how = {"method": "PUT", "url": upload.url, "headers": headers}
    return {"media_id": upload.media.id, "upload": how, "expires_at": upload.expires_at}


def _named(name: str) -> str:
    try:
        return checked_name(name)
    except BadName as bad:
        fault = {"field": "name", "code": "BAD_FILENAME", "detail": str(bad)}
        raise Problem(422, "BAD_FILENAME", str(bad), errors=[fault]) from None


def _text(description: str | None) -> str | None:
    return (description or "").strip() or None


def _after(media: Media) -> str:
    assert media.library is not None
    return f"{to_timestamp(media.library.added_at)}_{media.id}"


def _read_after(text: str) -> tuple[datetime, str] | None:
    """Problem 400."""
    if not text:
        return None
    match = _AFTER.fullmatch(text)
    try:
        if match is not None:
            return from_timestamp(match[1]).astimezone(UTC), match[2]
    except ValueError:
        pass
    raise Problem(400, "BAD_CURSOR", "`after` is none of our cursors; start again without it.")
