"""Requests to bots in MongoDB."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from services.dispatch.core.bot import Request
from services.dispatch.ports import LaneStart
from services.dispatch.store.lane_entries import LaneEntries
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

    async def add(self, requests: Sequence[tuple[Request, datetime]]) -> None:
        await self._entries.add([_document(request, at) for request, at in requests])

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]:
        return await self._entries.load(partitions)

    async def regroup(self, partition_of: Callable[[str], int]) -> int:
        return await self._entries.regroup(partition_of)

    async def head(self, lane: str, partition: int) -> Request | None:
        found = await self._entries.head(lane, partition)
        return Request(decode_as(BotRequest, found["record"]), partition, found.get("trace")) if found else None

    async def end(self, request: Request, outcome: str, at: datetime, told: Outgoing | None) -> bool:
        pending = {"pending": pending_entries([told], at)} if told else {}
        ended = {"open": False, "outcome": outcome, "ended_at": at}
        return await self._entries.change({"_id": request.ident, "open": True}, ended | pending)


def _document(request: Request, at: datetime) -> Document:
    record = request.record
    return {
        "_id": request.ident,
        "lane": request.lane,
        "partition": request.partition,
        "seq": record.message.seq,
        "workspace": record.workspace,
        "channel_id": record.channel_id,
        "record": encode(record),
        "next_at": at,
        "open": True,
        **({"trace": request.trace} if request.trace else {}),
    }
