"""An upload from its announcement to its job.

Death between two awaits: before `begin` there is nothing; after it an upload that nobody completes, which the sweep
ends, also where its conversation was erased meanwhile. `complete` looks for the bytes, then changes the state and makes
the job in one write: twice at once, one of them is too late.
"""

import uuid
from dataclasses import dataclass, replace
from urllib.parse import quote

from services.media.core import UPLOAD_LASTS, Media, Moment, Place, begun, completed, discarded
from services.media.erasing import Erasing
from services.media.filenames import BadName, checked_name
from services.media.store import Change, MediaStore, QuotaExceeded, Stale
from shared.contracts.media_types import MediaType, Purpose, max_bytes, media_type_of
from shared.contracts.outbound import ProcessMedia
from shared.contracts.shape import Shape
from shared.contracts.times import to_timestamp
from shared.contracts.topics import MEDIA_JOBS
from shared.contracts.wire import Undecodable, decode_as, encode
from shared.runtime.auth import Principal
from shared.runtime.clock import Clock
from shared.runtime.problems import Problem, not_found, unavailable
from shared.runtime.records import Outgoing
from shared.runtime.s3 import ObjectMissing, ObjectStore
from shared.runtime.service_client import ServiceClient

INCOMING = "incoming/"


@dataclass(frozen=True, slots=True)
class Announced:
    """What a member wants to upload, as it was said; `size` in bytes. `name` None: it gets one."""

    name: str | None
    content_type: str
    size: int
    purpose: Purpose = "attachment"


@dataclass(frozen=True, slots=True)
class Upload:
    """Where the bytes go; `expires_at` as on the wire."""

    media: Media
    url: str
    expires_at: str


class Seen(Shape):
    """Of a conversation, as the gateway shows it to a member."""

    seq: int


class Uploading:
    def __init__(
        self, store: MediaStore, objects: ObjectStore, clock: Clock, gateway: ServiceClient, erasing: Erasing
    ) -> None:
        """`gateway`: is asked whether a member may see a conversation, and how far it is."""
        self._gateway = gateway
        self._erasing = erasing
        self._store = store
        self._objects = objects
        self._clock = clock

    async def begin_file(self, principal: Principal, announced: Announced, description: str | None) -> Upload:
        """For the library. Problem 422, 413, 409."""
        media = self._announced(principal, announced)
        assert media.filename is not None
        place = Place(media.filename, description, principal.member_id, self._clock.now())
        return await self._begun(replace(media, library=place))

    async def begin_draft(self, principal: Principal, announced: Announced, conversation: str) -> Upload:
        """For a reply in a conversation. Problem 404, 422, 413, 409, 503."""
        media = self._announced(principal, announced)
        seen = await self._seen(principal, conversation)
        upload = await self._begun(replace(media, begun=seen))
        if await self._erasing.is_over(media.workspace, seen):
            await self._erasing.heed(media.workspace, media.id, conversation)
            raise not_found("There is no such conversation.")
        return upload

    async def discard(self, principal: Principal, media: Media) -> None:
        """A draft of the member's. Problem 404, 409."""
        if media.created_by != principal.member_id or media.library is not None or media.carrier is not None:
            raise not_found("There is no such draft of yours.")
        if media.used:
            raise Problem(409, "ALREADY_SENT", "It is part of a message.")
        now = self._clock.now()
        try:
            await self._store.change(media, discarded(media, now), Change(principal.actor, now))
        except Stale:
            raise Problem(409, "CONFLICT", "It changed at this very moment; try again.") from None

    async def complete(self, principal: Principal, media: Media) -> Media:
        """Problem 409 where there is nothing to complete."""
        now = self._clock.now()
        if media.state != "uploading":
            raise _over(media)
        if media.look_at is not None and media.look_at <= now:
            raise Problem(409, "UPLOAD_EXPIRED", "The upload was not completed in time.")
        await self._check_uploaded(media)
        after = completed(media)
        job = ProcessMedia(workspace=media.workspace, media_id=media.id, requested_at=to_timestamp(now))
        try:
            await self._store.change(media, after, Change(principal.actor, now, job=True, more=[_outgoing(job)]))
        except Stale:
            raise Problem(409, "ALREADY_COMPLETE", "The upload was completed or ended meanwhile.") from None
        return after

    async def _check_uploaded(self, media: Media) -> None:
        upload = await self._store.upload_of(media)
        try:
            assert upload is not None
            await self._objects.head(upload)
        except ObjectMissing:
            raise Problem(409, "NOT_UPLOADED", "Nothing was uploaded yet.") from None

    async def _seen(self, principal: Principal, conversation: str) -> Moment:
        found = await self._gateway.find(f"/v1/conversations/{quote(conversation, safe='')}", principal.token)
        if found is None:
            raise not_found("There is no such conversation.")
        try:
            return Moment(conversation, decode_as(Seen, found).seq)
        except Undecodable:
            raise unavailable("The gateway answered nonsense; nothing was begun.") from None

    def _announced(self, principal: Principal, announced: Announced) -> Media:
        known = media_type_of(announced.content_type)
        if known is None or (announced.purpose == "voice" and known.kind != "audio"):
            raise _refusal(422, "TYPE_NOT_ALLOWED", "content_type", "Files of this content type are not kept.")
        try:
            name = checked_name(
                f"{announced.purpose}{known.extensions[0]}" if announced.name is None else announced.name
            )
        except BadName as bad:
            raise _refusal(422, "BAD_FILENAME", "name", str(bad)) from None
        _check_size(announced, known)
        return Media(
            workspace=principal.workspace,
            id=str(uuid.uuid4()),
            purpose=announced.purpose,
            state="uploading",
            content_type=known.name,
            filename=name,
            size=announced.size,
            created_by=principal.member_id,
        )

    async def _begun(self, media: Media) -> Upload:
        now = self._clock.now()
        media, upload = begun(media, now), INCOMING + str(uuid.uuid4())
        try:
            await self._store.begin(media, upload, now)
        except QuotaExceeded:
            raise Problem(409, "QUOTA_EXCEEDED", "The workspace's storage has no room for this file.") from None
        url = self._objects.presign_put(upload, UPLOAD_LASTS)
        return Upload(media, url, to_timestamp(now + UPLOAD_LASTS))


def _over(media: Media) -> Problem:
    if media.state == "rejected":
        return Problem(409, "MEDIA_REJECTED", f"The file was refused: {media.code}.", reason=media.code)
    return Problem(409, "ALREADY_COMPLETE", "The upload was completed before.")


def _check_size(announced: Announced, known: MediaType) -> None:
    limit = max_bytes(announced.purpose, known)
    if announced.size > limit:
        detail = f"Files of type {known.name} have at most {limit:,} bytes here."
        raise Problem(
            413,
            "FILE_TOO_LARGE",
            detail,
            limit=limit,
            errors=[{"field": "size", "code": "FILE_TOO_LARGE", "detail": detail}],
        )


def _refusal(status: int, code: str, field: str, detail: str) -> Problem:
    return Problem(status, code, detail, errors=[{"field": field, "code": code, "detail": detail}])


def _outgoing(job: ProcessMedia) -> Outgoing:
    return Outgoing(MEDIA_JOBS, job.media_id, encode(job), (("type", b"ProcessMedia"),))
