"""Deliveries and questions of a restored database, made to agree with what became of them since.

What routing knows decides: a message that has a status ended with it; a question whose answer is decided is answered.
Of everything else nobody can say whether it was handed over meanwhile. It becomes an attempt that was interrupted: sent
again under the same id where the channel can tell a repeat, else `unknown` (DESIGN 3, I7). Questions without an answer
are too old to be asked: they end `EXPIRED`, and their conversations need a person.

While nobody runs. Killed anywhere, the same again goes on.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from services.dispatch.core.bot import Request
from services.dispatch.core.delivery import Claim, Delivery, End, Ending
from services.dispatch.handlers import erasures_of
from services.dispatch.ports import Erasures
from shared.contracts.ids import document_key
from shared.contracts.outbound import BotFence, BotRequest, BotWork, DeliverMessage, Outbound
from shared.contracts.topics import BOT_REQUESTS, CHANNEL_OUTBOUND
from shared.contracts.wire import Undecodable, decode_bot_work, decode_outbound
from shared.runtime.records import Record

NOBODY = "before the restore"
"""Whose the interrupted attempts are."""

AT_ONCE = 500


class Topics(Protocol):
    """`shared.runtime.topic_log`."""

    def chunks(self, topic: str) -> AsyncIterator[Sequence[Record]]: ...


@dataclass(frozen=True, slots=True)
class Fate:
    """How a delivery ended, as it was reported."""

    ending: Ending
    attempt: int
    provider_message_id: str | None = None


class Facts(Protocol):
    """What routing knows."""

    async def fates(self, messages: Sequence[DeliverMessage]) -> Mapping[str, Fate]:
        """By message id; without those of which nothing was reported."""

    async def answered(self, requests: Sequence[Request]) -> set[str]:
        """The ids of the requests that have their answer."""


class Deliveries(Protocol):
    async def missing(self, idents: Sequence[str]) -> set[str]:
        """Those that are not stored."""

    async def add(self, deliveries: Sequence[Delivery], fences: Mapping[str, int]) -> Collection[str]: ...

    async def open_ones(self, after: str, limit: int) -> list[Delivery]:
        """In the order of their ids, those behind `after`."""

    async def swap(self, seen: Delivery, after: Delivery) -> bool: ...

    async def erase(self, lane: str, up_to_seq: int, at: datetime) -> int: ...


class Requests(Protocol):
    async def missing(self, idents: Sequence[str]) -> set[str]: ...

    async def add(self, requests: Sequence[tuple[Request, datetime]]) -> Collection[str]: ...

    async def open_ones(self, after: str, limit: int) -> list[Request]: ...

    async def end(self, request: Request, outcome: str, at: datetime, told: None) -> bool: ...

    async def erase(self, lane: str, up_to_seq: int, at: datetime) -> int: ...


@dataclass(frozen=True, slots=True)
class Stores:
    deliveries: Deliveries
    requests: Requests
    erasures: Erasures


@dataclass(slots=True)
class Summary:
    """Deliveries that are known to have ended, those that count as interrupted, and questions without an answer."""

    ended: int = 0
    interrupted: int = 0
    unanswered: int = 0


class Restore:
    def __init__(self, stores: Stores, facts: Facts, now: datetime) -> None:
        self._deliveries = stores.deliveries
        self._requests = stores.requests
        self._erasures = stores.erasures
        self._facts = facts
        self._now = now
        self._summary = Summary()

    async def run(self, topics: Topics, unread: Mapping[int, int]) -> Summary:
        """`unread`: partition of `channel.outbound` -> from where on dispatch cannot have read anything yet."""
        await self._settle_open_deliveries()
        async for records in topics.chunks(CHANNEL_OUTBOUND):
            await self._add_deliveries([one for one in records if one.offset < unread.get(one.partition, 0)])
        async for records in topics.chunks(BOT_REQUESTS):
            await self._add_requests(records)
        await self._settle_open_requests()
        return self._summary

    async def _settle_open_deliveries(self) -> None:
        after = ""
        while found := await self._deliveries.open_ones(after, AT_ONCE):
            fates = await self._facts.fates([one.record for one in found])
            for one in found:
                fate = fates.get(one.record.message_id)
                if fate is not None or one.claim is None:
                    await self._deliveries.swap(one, self._settled(one, fate))
            after = found[-1].ident

    async def _add_deliveries(self, records: Sequence[Record]) -> None:
        read = [(record, item) for record in records if (item := _outbound(record)) is not None]
        fences: dict[str, int] = {}
        for _, item in read:
            if isinstance(item, BotFence):
                lane = document_key(item.workspace, item.conversation_id)
                fences[lane] = max(item.bot_epoch, fences.get(lane, 0))
        new = {
            one.ident: one
            for record, item in read
            if isinstance(item, DeliverMessage)
            for one in [Delivery(item, record.partition, inserted_at=self._now, next_at=self._now)]
        }
        missing = await self._deliveries.missing(list(new))
        lost = [one for ident, one in new.items() if ident in missing]
        fates = await self._facts.fates([one.record for one in lost])
        settled = [self._settled(one, fates.get(one.record.message_id)) for one in lost]
        await self._deliveries.add(settled, fences)
        await self._erase(self._deliveries, erasures_of(item for _, item in read))

    def _settled(self, delivery: Delivery, fate: Fate | None) -> Delivery:
        if fate is None:
            self._summary.interrupted += 1
            return delivery.claimed(Claim(NOBODY, self._now))
        self._summary.ended += 1
        end = End(fate.ending, self._now, fate.provider_message_id)
        return replace(delivery, attempt=max(fate.attempt, delivery.attempt)).ended(end)

    async def _add_requests(self, records: Sequence[Record]) -> None:
        read = [(record, item) for record in records if (item := _bot_work(record)) is not None]
        asked = [Request(item, record.partition) for record, item in read if isinstance(item, BotRequest)]
        new = {one.ident: one for one in asked}
        missing = await self._requests.missing(list(new))
        await self._requests.add([(one, self._now) for ident, one in new.items() if ident in missing])
        await self._erase(self._requests, erasures_of(item for _, item in read))

    async def _erase(self, stored: Deliveries | Requests, erasures: Mapping[str, int]) -> None:
        """What was erased since the backup is erased again."""
        await self._erasures.raised(erasures, ())
        for lane, up_to_seq in erasures.items():
            await stored.erase(lane, up_to_seq, self._now)

    async def _settle_open_requests(self) -> None:
        after = ""
        while found := await self._requests.open_ones(after, AT_ONCE):
            answered = await self._facts.answered(found)
            for one in found:
                if one.ident in answered:
                    await self._requests.end(one, "answered", self._now, None)
            self._summary.unanswered += sum(one.ident not in answered for one in found)
            after = found[-1].ident


def _outbound(record: Record) -> Outbound | None:
    """None for what went to the dead letters."""
    try:
        return decode_outbound(record.value or b"")
    except Undecodable:
        return None


def _bot_work(record: Record) -> BotWork | None:
    try:
        return decode_bot_work(record.value or b"")
    except Undecodable:
        return None
