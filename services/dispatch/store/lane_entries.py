"""A collection whose open documents form lanes: one per conversation, in order of seq."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from services.dispatch.ports import LaneStart
from shared.runtime.faults import Transient
from shared.runtime.mongo import ASCENDING, BulkWriteError, Collection, Document, IndexModel, Mongo, is_duplicate

KEEP_ENDED = timedelta(days=15)
"""Longer than any record can be redelivered (7 d): what is stored is known, and isn't done again."""


class LaneEntries:
    """Documents have `lane`, `partition`, `seq`, `channel_id`, `next_at`, `open: true`; when they end, `ended_at`."""

    def __init__(self, mongo: Mongo, collection: str) -> None:
        self._mongo = mongo
        self._name = collection

    @property
    def collection(self) -> Collection:
        return self._mongo.db[self._name]

    async def ensure_indexes(self, *more: IndexModel) -> None:
        lanes = [("partition", ASCENDING), ("lane", ASCENDING), ("seq", ASCENDING)]
        seconds = int(KEEP_ENDED.total_seconds())
        await self.collection.create_indexes(
            [
                IndexModel(lanes, name="lanes", partialFilterExpression={"open": True}),
                IndexModel("ended_at", name="kept", expireAfterSeconds=seconds, sparse=True),
                *more,
            ]
        )

    async def add(self, documents: Sequence[Document]) -> list[str]:
        """Insert in this order, so that at any moment a lane's documents are a beginning of what there is.

        An unordered insert could show a reader seq 3 before seq 2. What is there already is left as it is. Answers the
        ids of those that are new.
        """
        new: list[str] = []
        while documents:
            try:
                await self.collection.insert_many(documents, ordered=True)
                return new + _idents(documents)
            except BulkWriteError as error:
                if not is_duplicate(error):
                    raise
                new += _idents(documents[: error.details["nInserted"]])
            documents = await self._missing(documents)
        return new

    async def _missing(self, documents: Sequence[Document]) -> Sequence[Document]:
        """What isn't there yet, after a redelivery. Another owner may be inserting the same: so it is asked in a loop.

        Transient where nothing seems to be there although an insert says so: the majority hasn't got it yet.
        """
        there = await self.there([document["_id"] for document in documents])
        if not there:
            raise Transient("entries are being inserted by another owner")
        return [document for document in documents if document["_id"] not in there]

    async def there(self, idents: Sequence[Any]) -> set[Any]:
        """Of these, the ids of entries that are stored."""
        found = self.collection.find({"_id": {"$in": list(idents)}}, {"_id": 1})
        return {document["_id"] for document in await found.to_list(None)}

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]:
        rows = await self._mongo.aggregate(
            self._name,
            [
                {"$match": {"open": True, "partition": {"$in": sorted(partitions)}}},
                {"$sort": {"partition": 1, "lane": 1, "seq": 1}},
                {"$group": {"_id": "$lane"} | {name: {"$first": f"${name}"} for name in _START}},
            ],
        )
        return [LaneStart(row["_id"], row["partition"], row["channel_id"], row["next_at"]) for row in rows]

    async def regroup(self, partition_of: Callable[[str], int]) -> int:
        """Have every open lane in its partition; -> how many were in another one."""
        places = {"$group": {"_id": {"lane": "$lane", "partition": "$partition"}}}
        rows = await self._mongo.aggregate(self._name, [{"$match": {"open": True}}, places])
        at = [(row["_id"]["lane"], row["_id"]["partition"]) for row in rows]
        astray = [(lane, partition) for lane, partition in at if partition_of(lane) != partition]
        for lane, partition in astray:
            where = {"partition": partition, "lane": lane, "open": True}
            await self.collection.update_many(where, {"$set": {"partition": partition_of(lane)}})
        return len(astray)

    async def head(self, lane: str, partition: int) -> Document | None:
        where = {"partition": partition, "lane": lane, "open": True}
        return await self.collection.find_one(where, sort=[("seq", ASCENDING)])

    async def open_ones(self, after: str, limit: int) -> list[Document]:
        """Of all lanes, in the order of their ids, those behind `after`."""
        where = {"open": True, "_id": {"$gt": after}}
        return await self.collection.find(where).sort("_id", ASCENDING).limit(limit).to_list(None)

    async def change(self, where: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
        """Set `values` on the one document that is as `where` says; whether there was one."""
        changed = await self.collection.update_one(where, {"$set": values})
        return changed.matched_count == 1


_START = ("partition", "channel_id", "next_at")


def up_to(lane: str, seq: int) -> Document:
    """Matches what is kept of a lane up to a seq, open or not: by their ids, which are `<lane>-<seq>…`."""
    return {"_id": {"$gt": f"{lane}-", "$lt": f"{lane}."}, "seq": {"$lte": seq}}


def _idents(documents: Sequence[Document]) -> list[str]:
    return [document["_id"] for document in documents]
