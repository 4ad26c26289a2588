"""What entries have to tell: published out of their documents, then taken out (DESIGN 3.6).

Unlike `Outbox.flush` it takes no lease: an entry tells one thing, once or the same again, so two owners do no harm, and
a new owner need not wait for the lease of a dead one. What still stays behind, the outbox sweeps.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from shared.runtime.mongo import Mongo
from shared.runtime.outbox import outgoing
from shared.runtime.records import Outgoing

AT_ONCE = 500


class Publisher(Protocol):
    async def publish(self, records: Sequence[Outgoing]) -> None: ...


class MongoReports:
    """`Reports` of one collection of lane entries."""

    def __init__(self, mongo: Mongo, collection: str, publisher: Publisher) -> None:
        self._collection = mongo.db[collection]
        self._publisher = publisher

    async def tell(self, ident: str, record: Outgoing) -> None:
        await self._publisher.publish([record])
        await self._collection.update_one({"_id": ident}, {"$set": {"pending": []}})

    async def tell_left(self, partitions: Iterable[int]) -> None:
        where = {"pending.at": {"$exists": True}, "partition": {"$in": sorted(partitions)}}
        while found := await self._collection.find(where, {"pending": 1}).limit(AT_ONCE).to_list(None):
            await self._publisher.publish([outgoing(entry) for document in found for entry in document["pending"]])
            told = {"_id": {"$in": [document["_id"] for document in found]}}
            await self._collection.update_many(told, {"$set": {"pending": []}})
