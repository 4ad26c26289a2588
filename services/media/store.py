"""`media`: one document each, what is told of it inside until it is published; `accounts`: bytes of each workspace.

A change that alters what a workspace is charged changes both in one transaction. `job` is the work that is due, claimed
by compare-and-set: a claim that isn't renewed runs out, and another worker takes it. Two queues: uploads to
be checked, files to be fetched from channels.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from services.media.core import ERASED, Media
from services.media.documents import document_of, media_of
from services.media.telling import events, record
from shared.contracts.ids import document_key
from shared.contracts.outbound import FetchMedia
from shared.contracts.times import to_timestamp
from shared.contracts.topics import MEDIA, WORKSPACE_EVENTS
from shared.contracts.wire import encode
from shared.runtime.faults import Transient
from shared.runtime.folding import folded
from shared.runtime.mongo import (
    Document,
    IndexModel,
    Mongo,
    PyMongoError,
    ReturnDocument,
    Session,
    is_duplicate,
)
from shared.runtime.outbox import Outbox, pending_entries
from shared.runtime.records import Outgoing
from shared.runtime.turns import Turns

MEDIA_DOCUMENTS = "media"
ACCOUNTS = "accounts"
Queue = Literal["uploads", "fetches"]
QUEUES: tuple[Queue, ...] = ("uploads", "fetches")
KEEP_GONE = timedelta(days=7)
"""So long a document waits in case its last record couldn't be published."""

TRIES = 20

_LISTED = {"library.added_at": {"$type": "date"}, "removed": False, "gone": False}

OF_A_CONVERSATION = ("carrier", "conversation", "sent.conversation")

INDEXES = (
    IndexModel(
        [("workspace", 1), ("library.added_at", -1), ("id", -1)],
        name="library",
        partialFilterExpression={"library.added_at": {"$type": "date"}},
    ),
    IndexModel("look_at", name="ripe", partialFilterExpression={"look_at": {"$type": "date"}}),
    IndexModel([("job.queue", 1), ("job.due_at", 1), ("workspace", 1)], name="queues", sparse=True),
    IndexModel("upload", name="uploads", sparse=True),
    IndexModel("objects", name="objects", sparse=True),
    IndexModel([("workspace", 1), ("carrier", 1)], name="came_with", partialFilterExpression={"carrier": {"$gt": ""}}),
    IndexModel(
        [("workspace", 1), ("conversation", 1)], name="begun_for", partialFilterExpression={"conversation": {"$gt": ""}}
    ),
    IndexModel(
        [("workspace", 1), ("sent.conversation", 1)],
        name="sent_in",
        partialFilterExpression={"sent.conversation": {"$gt": ""}},
    ),
    IndexModel("gone_at", name="gone", expireAfterSeconds=int(KEEP_GONE.total_seconds())),
)


class Stale(Exception):
    """It was changed since it was read."""


class QuotaExceeded(Exception):
    """The workspace's storage has no room for it."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that is ours until it isn't renewed. `upload`: the key of the uploaded object; `fetch`: where to fetch it
    from instead.

    `tries` counts claims, this one included; `faults` those that failed for no reason outside.
    """

    media: Media
    upload: str | None
    fetch: FetchMedia | None
    tries: int
    faults: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose a job becomes, at what time, and until when."""

    owner: str
    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the library: what has all words of `query`, in one of `states`, newest first, behind `after`."""

    query: str
    states: tuple[str, ...]
    limit: int
    after: tuple[datetime, str] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What is written besides: `job` begins one, `owner` ends the one that he has; `more` is published, too."""

    actor: str
    at: datetime
    job: bool = False
    owner: str | None = None
    more: Sequence[Outgoing] = ()


async def insisted(change: Callable[[], Awaitable[None]]) -> None:
    """`change` reads, then writes; anew where somebody else was quicker. Transient."""
    for _ in range(TRIES):
        try:
            await change()
        except Stale:
            continue
        return
    raise Transient("a media keeps changing")


class MediaStore:
    """Component (it makes its indexes). Every query of a member names the workspace."""

    def __init__(self, mongo: Mongo, outbox: Outbox, quota: int) -> None:
        self._mongo = mongo
        self._outbox = outbox
        self._quota = quota
        self._media = mongo.db[MEDIA_DOCUMENTS]
        self._accounts = mongo.db[ACCOUNTS]
        self._turns = Turns()

    async def start(self) -> None:
        await self._media.create_indexes(list(INDEXES))
        await self._accounts.create_indexes([IndexModel("used", name="used")])
        noted = {"fetch": {"$exists": True}, "job": {"$exists": False}, "state": "processing"}
        await self._media.update_many(noted, {"$set": {"job": _job("fetches", datetime.now(UTC))}})

    async def stop(self) -> None:
        """Nothing to end."""

    # members

    async def find(self, workspace: str, ident: str) -> Media | None:
        return await self._one(workspace, ident, {"gone": False})

    async def find_file(self, workspace: str, ident: str) -> Media | None:
        """None also for a media that has no place in the library (any more)."""
        return await self._one(workspace, ident, _LISTED)

    async def files(self, workspace: str, listing: Listing) -> list[Media]:
        words = [{"library.search": {"$regex": re.escape(word)}} for word in folded(listing.query).split()]
        wanted: Document = {"workspace": workspace, **_LISTED, "state": {"$in": listing.states}}
        if words:
            wanted["$and"] = words
        if listing.after is not None:
            at, ident = listing.after
            earlier: Document = {"library.added_at": {"$lt": at}}
            wanted["$or"] = [earlier, {"library.added_at": at, "id": {"$lt": ident}}]
        order = [("library.added_at", -1), ("id", -1)]
        return [media_of(row) for row in await self._media.find(wanted).sort(order).limit(listing.limit).to_list(None)]

    async def begin(self, media: Media, upload: str, at: datetime) -> None:
        """QuotaExceeded. `upload`: the key that its bytes will come to."""
        told = pending_entries([_row(media)], at)
        document = document_of(media) | {"upload": upload, "pending": told}

        async def work(session: Session) -> None:
            await self._charge(media.workspace, media.charged, session)
            await self._media.insert_one(document, session=session)

        await self._in_turn(media, work)

    async def expect(self, media: Media, fetch: FetchMedia, at: datetime) -> None:
        """A file at a channel's side, to be fetched. Repeatable. Nobody asks a customer for room."""
        told = pending_entries([_row(media)], at)
        work = {"fetch": fetch.model_dump(mode="json"), "job": _job("fetches", at)}
        try:
            await self._media.insert_one(document_of(media) | work | {"pending": told})
        except PyMongoError as error:
            if not is_duplicate(error):
                raise
        await self._outbox.flush(MEDIA_DOCUMENTS, document_key(media.workspace, media.id))

    async def upload_of(self, media: Media) -> str | None:
        found = await self._media.find_one(_there(media.workspace, media.id), {"upload": 1})
        return found.get("upload") if found else None

    async def change(self, before: Media, after: Media, change: Change) -> None:
        """To the next version. Stale: somebody else was quicker, or the job is no longer the owner's."""
        where = _there(before.workspace, before.id) | {"version": before.version}
        if change.owner is not None:
            where["job.owner"] = change.owner
        update = _update(before, after, change)
        owed = after.charged - before.charged

        async def work(session: Session) -> None:
            if not (await self._media.update_one(where, update, session=session)).matched_count:
                raise Stale
            if owed:
                await self._accounts.update_one({"_id": after.workspace}, {"$inc": {"used": owed}}, session=session)

        await self._in_turn(after, work)

    # what jobs say

    async def whatever(self, workspace: str, ident: str) -> Media | None:
        """Also one that is gone, while its document is here."""
        return await self._one(workspace, ident, {})

    async def of_conversation(self, workspace: str, conversation: str) -> list[str]:
        """Ids of what came with its messages, was sent in one or begun for one, and isn't erased yet."""
        places = [{"workspace": workspace, path: conversation} for path in OF_A_CONVERSATION]
        found = self._media.find({"$or": places, "code": {"$ne": ERASED}}, {"id": 1})
        return [row["id"] for row in await found.to_list(None)]

    # workers

    async def claim(self, queue: Queue, claim: Claim, besides: Sequence[str] = ()) -> Claimed | None:
        """The job that has been due for longest, of those that nobody is at, in no workspace of `besides`."""
        where: Document = {"job.queue": queue, "job.due_at": {"$lte": claim.at}}
        if besides:
            where["workspace"] = {"$nin": list(besides)}
        where["$or"] = [{"job.until": None}, {"job.until": {"$lte": claim.at}}]
        found = await self._media.find_one_and_update(
            where,
            {"$set": {"job.owner": claim.owner, "job.until": claim.until}, "$inc": {"job.tries": 1}},
            sort=[("job.due_at", 1)],
            return_document=ReturnDocument.AFTER,
        )
        if found is None:
            return None
        wanted = found.get("fetch")
        fetch = FetchMedia.model_validate(wanted) if wanted else None
        return Claimed(media_of(found), found.get("upload"), fetch, found["job"]["tries"], found["job"]["faults"])

    async def renew(self, media: Media, owner: str, until: datetime) -> bool:
        """Whether the job still is the owner's."""
        where = {"_id": document_key(media.workspace, media.id), "job.owner": owner}
        return bool((await self._media.update_one(where, {"$set": {"job.until": until}})).matched_count)

    async def put_off(self, media: Media, owner: str, due_at: datetime, fault: bool = False) -> None:
        where = {"_id": document_key(media.workspace, media.id), "job.owner": owner}
        given_back = {"job.due_at": due_at, "job.owner": None, "job.until": None}
        await self._media.update_one(where, {"$set": given_back, "$inc": {"job.faults": int(fault)}})

    async def waiting(self, queue: Queue) -> int:
        return int(await self._media.count_documents({"job.queue": queue}))

    async def ripe(self, now: datetime, limit: int) -> list[Media]:
        """Those that time has changed."""
        found = self._media.find({"look_at": {"$lte": now}}).sort("look_at", 1).limit(limit)
        return [media_of(row) for row in await found.to_list(None)]

    async def largest(self, limit: int) -> dict[str, int]:
        """The workspaces with the most bytes -> those."""
        rows = await self._accounts.find({}).sort("used", -1).limit(limit).to_list(None)
        return {row["_id"]: int(row["used"]) for row in rows}

    async def awaited(self, uploads: Sequence[str]) -> set[str]:
        """Of these keys, those that an upload or a job still needs."""
        wanted = {"upload": {"$in": list(uploads)}, "state": {"$in": ["uploading", "processing"]}}
        return {row["upload"] for row in await self._media.find(wanted, {"upload": 1}).to_list(None)}

    async def referred(self, key: str) -> bool:
        """Whether any media has this object."""
        return await self._media.find_one({"objects": key}, {"_id": 1}) is not None

    async def _one(self, workspace: str, ident: str, where: Document) -> Media | None:
        found = await self._media.find_one(_there(workspace, ident) | where)
        return media_of(found) if found else None

    async def _charge(self, workspace: str, size: int, session: Session) -> None:
        """An account that has no room doesn't match, and its upsert finds that it is there."""
        if size > self._quota:
            raise QuotaExceeded
        room = {"_id": workspace, "used": {"$lte": self._quota - size}}
        try:
            await self._accounts.update_one(room, {"$inc": {"used": size}}, upsert=True, session=session)
        except PyMongoError as error:
            if is_duplicate(error):
                raise QuotaExceeded from None
            raise

    async def _in_turn(self, media: Media, work: Any) -> None:
        """One change of an account at a time here: between replicas the transactions find out."""
        async with self._turns.of(media.workspace):
            await self._mongo.transaction(work)
        await self._outbox.flush(MEDIA_DOCUMENTS, document_key(media.workspace, media.id))


def _job(queue: Queue, due_at: datetime) -> Document:
    return {"queue": queue, "due_at": due_at, "owner": None, "until": None, "tries": 0, "faults": 0}


def _there(workspace: str, ident: str) -> Document:
    return {"_id": document_key(workspace, ident), "workspace": workspace}


def _row(media: Media) -> Outgoing:
    return Outgoing(MEDIA, media.id, None if media.gone else encode(record(media)))


def _update(before: Media, after: Media, change: Change) -> Document:
    """Sets the document, begins or ends its job, and keeps what is told of it."""
    told = [_row(after), *change.more]
    for event in events(before, after, change.actor, to_timestamp(change.at)):
        told.append(Outgoing(WORKSPACE_EVENTS, event.workspace, event.encoded(), event.headers()))
    values = document_of(after)
    if change.job:
        values["job"] = _job("uploads", change.at)
    if after.gone:
        values["gone_at"] = change.at
    over = {"job": after.state != "processing", "fetch": after.erased, "upload": after.erased}
    return {
        "$set": values,
        "$push": {"pending": {"$each": pending_entries(told, change.at)}},
        "$unset": {name: "" for name, is_over in over.items() if is_over},
    }
