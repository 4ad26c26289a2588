"""Deliveries and fences in MongoDB."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from services.dispatch.core.delivery import Claim, Delivery, End, Ending, State
from services.dispatch.core.erasing import erased
from services.dispatch.ports import LaneStart, Query
from services.dispatch.store.lane_entries import LaneEntries, up_to
from shared.contracts.ids import document_key
from shared.contracts.outbound import DeliverMessage
from shared.contracts.wire import decode_as, encode
from shared.runtime.mongo import ASCENDING, Document, IndexModel, Mongo, UpdateOne
from shared.runtime.outbox import pending_entries
from shared.runtime.records import Outgoing

DELIVERIES = "deliveries"
FENCES = "fences"
KEEP_FENCES = timedelta(days=30)
"""Longer than a bot's message that it could silence may still turn up."""
ERASED_AT_ONCE = 500

_ENDINGS: Mapping[str, Ending] = {"sent": "sent", "failed": "failed", "unknown": "unknown"}


class MongoDeliveries:
    """Component (it makes its indexes), DeliveryShelf, DeliveryStore and DeliveryBook."""

    def __init__(self, mongo: Mongo) -> None:
        self._entries = LaneEntries(mongo, DELIVERIES)
        self._fences = mongo.db[FENCES]

    async def start(self) -> None:
        by_channel = [("workspace", ASCENDING), ("channel_id", ASCENDING), ("state", ASCENDING), ("_id", ASCENDING)]
        by_state = [("workspace", ASCENDING), ("state", ASCENDING), ("_id", ASCENDING)]
        await self._entries.ensure_indexes(
            IndexModel(by_channel, name="by_channel"),
            IndexModel(by_state, name="by_state"),
            IndexModel("nudged_at", name="nudged", sparse=True),
        )
        seconds = int(KEEP_FENCES.total_seconds())
        await self._fences.create_indexes([IndexModel("fenced_at", name="kept", expireAfterSeconds=seconds)])

    async def stop(self) -> None:
        """Nothing is open."""

    async def add(self, deliveries: Sequence[Delivery], fences: Mapping[str, int]) -> Collection[str]:
        if fences:
            await self._fences.bulk_write([_raised(lane, epoch) for lane, epoch in fences.items()], ordered=False)
        return await self._entries.add([_document(delivery) for delivery in deliveries])

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]:
        return await self._entries.load(partitions)

    async def erase(self, lane: str, up_to_seq: int, at: datetime) -> int:
        """In rounds of compare-and-sets: what a sender or a member changed meanwhile is in the next round."""
        ended = 0
        while found := await self._unerased(lane, up_to_seq):
            ended += await self._bare([one for one in found if one.end is None], at)
            await self._bare([one for one in found if one.end is not None], at)
        return ended

    async def regroup(self, partition_of: Callable[[str], int]) -> int:
        return await self._entries.regroup(partition_of)

    async def head(self, lane: str, partition: int) -> Delivery | None:
        found = await self._entries.head(lane, partition)
        return _delivery(found) if found else None

    async def epoch(self, lane: str) -> int:
        found = await self._fences.find_one({"_id": lane})
        return int(found["epoch"]) if found else 0

    async def swap(self, seen: Delivery, after: Delivery, report: Outgoing | None = None) -> bool:
        pending = {"pending": pending_entries([report], datetime.now(UTC))} if report else {}
        return await self._entries.change(_still(seen), _changing(after) | pending)

    async def find(self, workspace: str, message_id: str) -> Delivery | None:
        found = await self._entries.collection.find_one({"_id": document_key(workspace, message_id)})
        return _delivery(found) if found else None

    async def missing(self, idents: Sequence[str]) -> set[str]:
        """Those that are not stored."""
        return set(idents) - await self._entries.there(idents)

    async def open_ones(self, after: str, limit: int) -> list[Delivery]:
        """Of all workspaces, in the order of their ids, those behind `after`."""
        return [_delivery(document) for document in await self._entries.open_ones(after, limit)]

    async def nudged(self, since: datetime) -> list[str]:
        lanes: list[str] = await self._entries.collection.distinct("lane", {"nudged_at": {"$gte": since}})
        return lanes

    async def page(self, query: Query) -> list[Delivery]:
        where: dict[str, Any] = {"workspace": query.workspace, "state": {"$in": list(query.states)}}
        if query.channel_id is not None:
            where["channel_id"] = query.channel_id
        if query.after is not None:
            where["_id"] = {"$gt": document_key(query.workspace, query.after)}
        found = self._entries.collection.find(where).sort("_id", ASCENDING).limit(query.limit)
        return [_delivery(document) for document in await found.to_list(None)]

    async def _unerased(self, lane: str, up_to_seq: int) -> list[Delivery]:
        where = up_to(lane, up_to_seq) | {"erased": {"$ne": True}}
        found = await self._entries.collection.find(where).limit(ERASED_AT_ONCE).to_list(None)
        return [_delivery(document) for document in found]

    async def _bare(self, seen: Sequence[Delivery], at: datetime) -> int:
        """How many were still as seen, and are skeletons now."""
        if not seen:
            return 0
        changes = [UpdateOne(_still(one), {"$set": _erasing(erased(one, at))}) for one in seen]
        done = await self._entries.collection.bulk_write(changes, ordered=False)
        return done.matched_count


def _still(seen: Delivery) -> Document:
    """Matches the delivery as long as nobody changed it."""
    owner = seen.claim.owner if seen.claim else None
    where = {"_id": seen.ident, "state": seen.state, "attempt": seen.attempt, "claim.owner": owner}
    return where | {"nudged_at": seen.nudged_at}


def _erasing(after: Delivery) -> Document:
    """A report that waits in there goes: it names the provider's id, and routing has forgotten what it is about."""
    return _changing(after) | {"record": encode(after.record), "pending": []}


def _raised(lane: str, epoch: int) -> UpdateOne:
    return UpdateOne({"_id": lane}, {"$max": {"epoch": epoch}, "$currentDate": {"fenced_at": True}}, upsert=True)


def _document(delivery: Delivery) -> Document:
    record = delivery.record
    return {
        "_id": delivery.ident,
        "lane": delivery.lane,
        "partition": delivery.partition,
        "seq": record.seq,
        "workspace": record.workspace,
        "channel_id": record.channel_id,
        "record": encode(record),
        "inserted_at": delivery.inserted_at,
        **({"trace": delivery.trace} if delivery.trace else {}),
        **_changing(delivery),
    }


def _changing(delivery: Delivery) -> Document:
    """The part that swaps. `ended_at` is left out while open: it starts the time to live; `nudged_at`, `erased` if
    never."""
    state: State = delivery.state
    values: Document = {
        "state": state,
        "open": delivery.end is None,
        "attempt": delivery.attempt,
        "next_at": delivery.next_at,
        "trouble": delivery.trouble,
        "patience_from": delivery.patience_from,
        "claim": {"owner": delivery.claim.owner, "until": delivery.claim.until} if delivery.claim else None,
    }
    if delivery.nudged_at is not None:
        values["nudged_at"] = delivery.nudged_at
    if delivery.erased:
        values["erased"] = True
    if delivery.end is not None:
        end = delivery.end
        values |= {"ended_at": end.at, "provider_message_id": end.provider_message_id, "error": end.error}
    return values


def _delivery(document: Document) -> Delivery:
    claim, ending = document["claim"], _ENDINGS.get(document["state"])
    end = (
        End(ending, document["ended_at"], document["provider_message_id"], document["error"])
        if ending is not None
        else None
    )
    return Delivery(
        record=decode_as(DeliverMessage, document["record"]),
        partition=document["partition"],
        inserted_at=document["inserted_at"],
        next_at=document["next_at"],
        attempt=document["attempt"],
        claim=Claim(claim["owner"], claim["until"]) if claim else None,
        end=end,
        trouble=document["trouble"],
        patience_from=document.get("patience_from", 0),
        nudged_at=document.get("nudged_at"),
        trace=document.get("trace"),
        erased=document.get("erased", False),
    )
