"""Requests to bots in MongoDB."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

from services.dispatch.core.bot import ERASED, Request
from services.dispatch.ports import LaneStart
from services.dispatch.store.lane_entries import LaneEntries, up_to
from shared.contracts.outbound import BotRequest
from shared.contracts.wire import decode_as, encode
from shared.runtime.mongo import Document, Mongo
from shared.runtime.outbox import pending_entries
from shared.runtime.records import Outgoing

BOT_REQUESTS = "bot_requests"


class MongoRequests:
    """Component (it makes its indexes) and RequestStore."""

    def __init__(self, mongo: Mongo) -> None:
        self._entries = LaneEntries(mongo, BOT_REQUESTS)

    async def start(self) -> None:
        await self._entries.ensure_indexes()

    async def stop(self) -> None:
        """Nothing is open."""

    async def add(self, requests: Sequence[tuple[Request, datetime]]) -> Collection[str]:
        return await self._entries.add([_document(request, at) for request, at in requests])

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]:
        return await self._entries.load(partitions)

    async def regroup(self, partition_of: Callable[[str], int]) -> int:
        return await self._entries.regroup(partition_of)

    async def head(self, lane: str, partition: int) -> Request | None:
        found = await self._entries.head(lane, partition)
        return Request(decode_as(BotRequest, found["record"]), partition, found.get("trace")) if found else None

    async def missing(self, idents: Sequence[str]) -> set[str]:
        """Those that are not stored."""
        return set(idents) - await self._entries.there(idents)

    async def open_ones(self, after: str, limit: int) -> list[Request]:
        """Of all workspaces, in the order of their ids, those behind `after`."""
        found = await self._entries.open_ones(after, limit)
        return [Request(decode_as(BotRequest, one["record"]), one["partition"]) for one in found]

    async def end(self, request: Request, outcome: str, at: datetime, told: Outgoing | None) -> bool:
        pending = {"pending": pending_entries([told], at)} if told else {}
        ended = {"open": False, "outcome": outcome, "ended_at": at}
        return await self._entries.change({"_id": request.ident, "open": True}, ended | pending)

    async def erase(self, lane: str, up_to_seq: int, at: datetime) -> int:
        """First the open ones: after that nobody ends one of them, so the second write meets all that is left."""
        kept, where = self._entries.collection, up_to(lane, up_to_seq)
        ended = await kept.update_many(where | {"open": True}, _bare(_erased(at)))
        await kept.update_many(where | {"record": {"$exists": True}}, _bare({}))
        return ended.modified_count

    async def erased(self, request: Request) -> bool:
        where = {"_id": request.ident, "record": {"$exists": False}}
        return await self._entries.collection.find_one(where, {"_id": 1}) is not None


def _erased(at: datetime) -> Document:
    return {"open": False, "outcome": ERASED, "ended_at": at}


def _bare(values: Document) -> Document:
    """The question goes, and an answer that waits to be told: it quotes who knows what, and nobody waits for it."""
    return {"$set": values | {"pending": []}, "$unset": {"record": ""}}


def _document(request: Request, at: datetime) -> Document:
    record = request.record
    content: Document = _erased(at) if request.erased else {"open": True, "record": encode(record)}
    return {
        "_id": request.ident,
        "lane": request.lane,
        "partition": request.partition,
        "seq": record.message.seq,
        "workspace": record.workspace,
        "channel_id": record.channel_id,
        "next_at": at,
        **({"trace": request.trace} if request.trace else {}),
        **content,
    }
