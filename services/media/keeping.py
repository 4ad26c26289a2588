"""Objects that were checked: written once under their content's hash, deleted when long nobody refers to them.

`objects` says when each was last of use. Writer and sweeper agree by it: a writer notes the object first, and where the
sweeper is just deleting it, waits for the next try; the sweeper takes only what was of no use for `OBJECTS_LAST`, which
is far longer than any job.
"""

from datetime import datetime
from typing import BinaryIO, Protocol

from services.media.core import OBJECTS_LAST
from shared.contracts.ids import object_key
from shared.contracts.media_types import OPAQUE
from shared.runtime.faults import Transient
from shared.runtime.mongo import IndexModel, Mongo, PyMongoError, is_duplicate
from shared.runtime.s3 import Fetched, ObjectMissing, ObjectStore

OBJECTS = "objects"
SWEPT_AT_ONCE = 200


class References(Protocol):
    async def referred(self, key: str) -> bool:
        """Whether any media has this object."""


class Keeper:
    """Component (it makes its index)."""

    def __init__(self, mongo: Mongo, objects: ObjectStore, references: References) -> None:
        self._notes = mongo.db[OBJECTS]
        self._objects = objects
        self._references = references

    async def start(self) -> None:
        await self._notes.create_indexes([IndexModel("useful_at", name="useful_at")])

    async def stop(self) -> None:
        """Nothing to end."""

    async def keep(self, workspace: str, content: Fetched, file: BinaryIO, at: datetime) -> None:
        """Return when the object is there, whole. What is there already is left as it is."""
        key = object_key(workspace, content.sha256)
        await self._note(key, at)
        if await self._size(key) == content.size:
            return
        await self._objects.put_file(key, file, content.size, OPAQUE)
        if await self._size(key) != content.size:
            raise Transient("the store kept another size than it was given")

    async def let_go(self, keys: list[str], at: datetime) -> None:
        """They were of use until now."""
        if keys:
            await self._notes.update_many({"_id": {"$in": keys}, "deleting": None}, {"$set": {"useful_at": at}})

    async def sweep(self, now: datetime) -> int:
        """Delete what nobody refers to any more; -> how many."""
        old = {"useful_at": {"$lt": now - OBJECTS_LAST}}
        found = await self._notes.find(old).sort("useful_at", 1).limit(SWEPT_AT_ONCE).to_list(None)
        return sum([await self._swept(note["_id"], note["useful_at"], now) for note in found])

    async def _swept(self, key: str, useful_at: datetime, now: datetime) -> bool:
        if await self._references.referred(key):
            await self._notes.update_one({"_id": key, "deleting": None}, {"$set": {"useful_at": now}})
            return False
        where = {"_id": key, "useful_at": useful_at}
        if not (await self._notes.update_one(where, {"$set": {"deleting": True}})).matched_count:
            return False  # it is of use again
        await self._objects.delete(key)
        await self._notes.delete_one({"_id": key})
        return True

    async def _note(self, key: str, at: datetime) -> None:
        """Transient while it is being deleted."""
        try:
            await self._notes.update_one({"_id": key, "deleting": None}, {"$set": {"useful_at": at}}, upsert=True)
        except PyMongoError as error:
            if is_duplicate(error):
                raise Transient("this object is just being deleted") from None
            raise

    async def _size(self, key: str) -> int | None:
        try:
            return (await self._objects.head(key)).size
        except ObjectMissing:
            return None
