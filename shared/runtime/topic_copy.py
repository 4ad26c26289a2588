"""A compacted topic as documents: a service's own copy, read by a group from the topic's beginning.

For what is too much for memory (`Table` keeps a topic there). A version once known is never replaced by an older one.
"""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from shared.contracts.shape import Shape
from shared.contracts.wire import decode_as, encode
from shared.runtime.batches import Batch
from shared.runtime.faults import Poison
from shared.runtime.mongo import Collection, DeleteOne, PyMongoError, UpdateOne, is_duplicate
from shared.runtime.records import Partition, Record

S = TypeVar("S", bound=Shape)
Identity = Callable[[S], tuple[str, int]]
"""(workspace, version) of a row."""


class TopicCopy(Generic[S]):
    """Handler of the group. Documents have the record's key as `_id`; a tombstone deletes."""

    def __init__(self, collection: Collection, model: type[S], identity: Identity[S]) -> None:
        self._collection = collection
        self._model = model
        self._identity = identity

    async def find(self, workspace: str, key: str) -> S | None:
        """The row of this key, if it is this workspace's."""
        found = await self._collection.find_one({"_id": key, "workspace": workspace})
        return decode_as(self._model, found["record"]) if found else None

    async def handle(self, batch: Batch) -> None:
        """Poison for a record that is no such row."""
        rows: dict[bytes, S | None] = {}
        for record in batch.records:
            key, row = self._read(record)
            before = rows.get(key)
            if row is None or before is None or self._identity(before)[1] < self._identity(row)[1]:
                rows[key] = row
        try:
            await self._collection.bulk_write([self._write(key, row) for key, row in rows.items()], ordered=False)
        except PyMongoError as error:
            if not is_duplicate(error):  # an upsert of an older version: a newer one is there
                raise

    async def assigned(self, partitions: frozenset[Partition], committed: Mapping[Partition, int]) -> None:
        """Nothing is cached."""

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        """Nothing is cached."""

    def _read(self, record: Record) -> tuple[bytes, S | None]:
        """Its key, and None for a tombstone."""
        if record.key is None:
            raise Poison("UNDECODABLE", "a row without a key", record=record)
        if record.value is None:
            return record.key, None
        try:
            return record.key, decode_as(self._model, record.value)
        except ValueError as error:
            raise Poison("UNDECODABLE", str(error), record) from None

    def _write(self, key: bytes, row: S | None) -> UpdateOne | DeleteOne:
        ident = key.decode(errors="replace")
        if row is None:
            return DeleteOne({"_id": ident})
        workspace, version = self._identity(row)
        values = {"workspace": workspace, "version": version, "record": encode(row)}
        return UpdateOne({"_id": ident, "version": {"$lt": version}}, {"$set": values}, upsert=True)
