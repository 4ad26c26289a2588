"""The documents of a restored database, brought forward to what the topics say became of them since.

While nobody runs: reads both inputs and the log of events, puts aside what lies behind the stored documents, and works
through it conversation by conversation (`replaying`). Each write is a transaction of some documents with their
memories, by compare-and-set. The process dies: what is written is behind the documents then; the same again goes on.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, cast

from services.routing import intake, memory
from services.routing.documents import Arrival, Document
from services.routing.orders import Order
from services.routing.replaying import Replayed, Told, replayed, with_channel_kind
from services.routing.store import States
from shared.contracts import wire
from shared.contracts.events import CloudEvent
from shared.contracts.ids import document_key
from shared.contracts.inbound import DeliveryReported
from shared.contracts.outbound import BotFence, BotWork, MediaJob, Outbound, ProcessMedia
from shared.contracts.topics import BOT_REQUESTS, CHANNEL_OUTBOUND, MEDIA_JOBS, ROUTING_INPUTS, WORKSPACE_EVENTS
from shared.runtime.faults import Poison
from shared.runtime.progress import Progress, Tell
from shared.runtime.records import Record
from shared.runtime.spool import Kept, Spool

AT_ONCE = 200
OUTCOME = b"relaydesk.command."
ASKED = (CHANNEL_OUTBOUND, BOT_REQUESTS, MEDIA_JOBS)
_ORDERS: Mapping[str, Callable[[bytes], Outbound | BotWork | MediaJob]] = {
    CHANNEL_OUTBOUND: wire.decode_outbound,
    BOT_REQUESTS: wire.decode_bot_work,
    MEDIA_JOBS: wire.decode_media_job,
}


class Topics(Protocol):
    """`shared.runtime.topic_log`."""

    def chunks(self, topic: str) -> AsyncIterator[Sequence[Record]]:
        """All its records: partition by partition, in order."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`source`: topic and partition -> source; `committed`: source -> the group's offset; `kinds`: channel -> kind."""

    source: Callable[[str, int], str]
    committed: Mapping[str, int]
    kinds: Mapping[str, str]
    tell: Tell


@dataclass(slots=True)
class Summary:
    """`left`: inputs that routing has yet to decide. `unmatched`: events of which no input says how they came about.
    `unexplained`: conversations of which others were asked for something that nothing explains. `reported`: message id
    -> what dispatch said of it, of those reports that are left."""

    conversations: int = 0
    events: int = 0
    left: int = 0
    unmatched: int = 0
    unexplained: list[str] = field(default_factory=list)
    reported: dict[str, DeliveryReported] = field(default_factory=dict)

    def add(self, key: str, one: Replayed) -> None:
        self.conversations += one.document is not None
        self.events += one.events
        self.left += len(one.left)
        self.unmatched += one.unmatched
        if one.unexplained is not None:
            self.unexplained.append(f"{key}: {one.unexplained}")
        reports = (arrival.item for arrival in one.left if isinstance(arrival.item, DeliveryReported))
        self.reported |= {report.message_id: report for report in reports}


class Restore:
    def __init__(
        self, states: States, topics: Topics, around: Surroundings, spool: Spool, at_once: int = AT_ONCE
    ) -> None:
        """`at_once`: conversations in one transaction."""
        self._at_once = at_once
        self._states = states
        self._topics = topics
        self._around = around
        self._spool = spool
        self._unsettled: set[str] = set()

    async def run(self) -> Summary:
        """Raises Hole or Contradiction, naming the conversation; Conflict where somebody else writes."""
        await self._gather_inputs()
        await self._gather_events()
        if self._unsettled:
            await self._gather_orders()
        return await self._bring_forward()

    async def _gather_inputs(self) -> None:
        for topic in ROUTING_INPUTS:
            async for records in self._topics.chunks(topic):
                keyed = [(one.key.decode(errors="replace"), one) for one in records if one.key and one.value]
                documents = await self._states.documents(list({key for key, _ in keyed}))
                self._spool.put(_kept(key, one) for key, one in keyed if self._is_new(one, documents.get(key)))
                self._unsettled |= {key for key, one in keyed if self._is_unsettled(one)}

    async def _gather_events(self) -> None:
        async for records in self._topics.chunks(WORKSPACE_EVENTS):
            heads = [head for one in records if (head := _head(one)) is not None]
            documents = await self._states.documents(list({head.key for head in heads}))
            known = await self._states.remembered([head.outcome_of for head in heads if head.seq is None])
            self._spool.put(
                _kept(head.key, head.record)
                for head in heads
                if (head.outcome_of not in known if head.seq is None else head.seq > _seq(documents.get(head.key)))
            )

    async def _gather_orders(self) -> None:
        """Only of conversations of which something may be half done: few."""
        for topic in ASKED:
            async for records in self._topics.chunks(topic):
                named = ((_conversation_of(topic, one), one) for one in records)
                self._spool.put(_kept(key, one) for key, one in named if key in self._unsettled)

    async def _bring_forward(self) -> Summary:
        summary, total, done = Summary(), self._spool.count(), 0
        groups = self._spool.groups()
        while batch := dict(islice(groups, self._at_once)):
            told = await self._told(batch)
            found = {one.document.key: replayed(one) for one in told}
            await self._save(found.values())
            for key, one in found.items():
                summary.add(key, one)
            done += len(batch)
            self._around.tell(Progress("conversations", done, total))
        return summary

    async def _told(self, batch: Mapping[str, Sequence[Kept]]) -> list[Told]:
        documents = await self._states.documents(list(batch))
        inputs = {key: list(self._arrivals(key, rows)) for key, rows in batch.items()}
        events = {key: list(_events(rows)) for key, rows in batch.items()}
        names = {name for key, found in inputs.items() for one in found for name in memory.names(key, one.item)}
        names |= {one.key for key, found in events.items() for event in found for one in memory.told_by(key, event)}
        remembered = await self._states.remembered(list(names))
        return [
            Told(
                documents.get(key) or Document(key),
                {name: one for name, one in remembered.items() if name.startswith(f"{key}:")},
                inputs[key],
                events[key],
                list(_orders(rows)),
                self._around.committed,
            )
            for key, rows in batch.items()
        ]

    async def _save(self, found: Iterable[Replayed]) -> None:
        changed = [one for one in found if one.document is not None]
        writes = [with_channel_kind(cast(Document, one.document), self._around.kinds) for one in changed]
        if writes:
            remembered = [memory for one in changed for memory in one.remembered]
            erased = [one.key for one, of in zip(writes, changed, strict=True) if of.erased]
            await self._states.save(writes, remembered, erased)

    def _arrivals(self, key: str, rows: Sequence[Kept]) -> Iterator[Arrival]:
        """Without what is none: it went to the dead letters, or will."""
        for row in _of(rows, *ROUTING_INPUTS):
            record = Record(row.topic, row.partition, row.offset, key.encode(), row.value, {}, 0)
            with suppress(Poison):
                yield intake.arrival(record, self._around.source(row.topic, row.partition))

    def _is_new(self, record: Record, document: Document | None) -> bool:
        source = self._around.source(record.topic, record.partition)
        return document is None or record.offset > document.applied.get(source, -1)

    def _is_unsettled(self, record: Record) -> bool:
        source = self._around.source(record.topic, record.partition)
        return record.offset >= self._around.committed.get(source, 0)


@dataclass(frozen=True, slots=True)
class _Head:
    """What the headers of one of our events say. `outcome_of`: where the outcome of its command is remembered."""

    key: str
    seq: int | None
    outcome_of: str
    record: Record


def _head(record: Record) -> _Head | None:
    """None for what is none of ours: an event of a resource, a read mark, a file."""
    headers = record.headers
    numbered, outcome = "seq" in headers, headers.get("type", b"").startswith(OUTCOME)
    if record.key is None or not (numbered or outcome):
        return None
    key = document_key(record.key.decode(), headers["subject"].decode())
    seq = int(headers["seq"]) if numbered else None
    return _Head(key, seq, memory.command(key, headers["causationid"].decode()), record)


def _seq(document: Document | None) -> int:
    return document.state.seq if document is not None and document.state is not None else 0


def _conversation_of(topic: str, record: Record) -> str:
    """The document key that an order is about, "" for what is none."""
    with suppress(wire.Undecodable):
        match order := _ORDERS[topic](record.value or b""):
            case BotFence() | ProcessMedia():
                return ""
            case _:
                return document_key(order.workspace, order.conversation_id)
    return ""


def _kept(key: str, record: Record) -> Kept:
    return Kept(key, record.topic, record.partition, record.offset, record.value or b"")


def _of(rows: Sequence[Kept], *topics: str) -> Iterator[Kept]:
    return (row for row in rows if row.topic in topics)


def _events(rows: Sequence[Kept]) -> Iterator[CloudEvent]:
    return (wire.decode_event(row.value) for row in _of(rows, WORKSPACE_EVENTS))


def _orders(rows: Sequence[Kept]) -> Iterator[Order]:
    return (cast(Order, _ORDERS[row.topic](row.value)) for row in _of(rows, *ASKED))
