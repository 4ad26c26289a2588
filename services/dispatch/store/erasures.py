"""Up to where conversations were erased, in MongoDB."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from shared.runtime.mongo import IndexModel, Mongo, UpdateOne

ERASURES = "erasures"
KEEP_ERASURES = timedelta(days=45)
"""Longer than a record may come back: 30 d as a dead letter, replayed on the last of them 7 d more. Skeletons are gone
by then."""


class MongoErasures:
    """Component (it makes its index) and Erasures."""

    def __init__(self, mongo: Mongo) -> None:
        self._kept = mongo.db[ERASURES]

    async def start(self) -> None:
        seconds = int(KEEP_ERASURES.total_seconds())
        await self._kept.create_indexes([IndexModel("erased_at", name="kept", expireAfterSeconds=seconds)])

    async def stop(self) -> None:
        """Nothing is open."""

    async def raised(self, erasures: Mapping[str, int], lanes: Iterable[str]) -> Mapping[str, int]:
        if erasures:
            await self._kept.bulk_write([_raised(lane, seq) for lane, seq in erasures.items()], ordered=False)
        found = await self._kept.find({"_id": {"$in": sorted(lanes)}}).to_list(None)
        return {document["_id"]: document["up_to_seq"] for document in found}


def _raised(lane: str, seq: int) -> UpdateOne:
    return UpdateOne({"_id": lane}, {"$max": {"up_to_seq": seq}, "$currentDate": {"erased_at": True}}, upsert=True)
