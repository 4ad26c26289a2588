"""Records in, lanes filled. What is stored may be committed; nothing is delivered from here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from services.dispatch.core.delivery import Delivery
from services.dispatch.core.erasing import as_it_may_be_kept
from services.dispatch.lanes import Lanes
from services.dispatch.ports import DeliveryShelf, Erasures, LaneStart, Reports
from shared.contracts.ids import document_key, message_id
from shared.contracts.outbound import BotFence, DeliverMessage, EraseConversation, Outbound
from shared.contracts.wire import Undecodable, decode_outbound
from shared.runtime.batches import Batch
from shared.runtime.clock import Clock
from shared.runtime.faults import Poison
from shared.runtime.metrics import Metrics
from shared.runtime.records import Partition, Record

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Filled:
    """A lane that got something of a channel."""

    lane: str
    partition: Partition
    channel_id: str


@dataclass(frozen=True, slots=True)
class Raised:
    """A lane whose fence was raised."""

    lane: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Erased:
    """A lane whose entries up to a seq are skeletons now."""

    lane: str
    up_to_seq: int


Taken = Filled | Raised | Erased


class Intake(Protocol):
    """What one topic's records become."""

    async def add(self, records: Sequence[Record]) -> Sequence[Taken]:
        """Store them; harmless when repeated. Poison names the record that can't be read."""

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]:
        """The lanes that aren't empty."""


class LaneHandler:
    """A group's handler: the lanes in memory are those of the partitions we own."""

    def __init__(self, intake: Intake, reports: Reports, lanes: Lanes, wake: Callable[[], None], clock: Clock) -> None:
        self._intake = intake
        self._reports = reports
        self._lanes = lanes
        self._wake = wake
        self._clock = clock

    async def handle(self, batch: Batch) -> None:
        taken = await self._intake.add(batch.records)
        now = self._clock.now()
        for each in taken:
            match each:
                case Filled(lane, partition, channel_id):
                    self._lanes.put(lane, partition, channel_id, now)
                case Raised(lane, epoch):
                    self._lanes.fence(lane, epoch, now)
                case Erased(lane, up_to_seq):
                    self._lanes.erase(lane, up_to_seq, now)
        self._wake()

    async def assigned(self, partitions: frozenset[Partition], committed: Mapping[Partition, int]) -> None:
        """Forget and read anew what is open: also after a fence, when somebody else may have worked meanwhile."""
        self._lanes.drop(partitions)
        numbered = {number: (topic, number) for topic, number in partitions}
        await self._reports.tell_left(numbered)
        for start in await self._intake.load(numbered):
            self._lanes.put(start.key, numbered[start.partition], start.channel_id, start.at)
        self._wake()

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        self._lanes.drop(partitions)


class OutboundIntake:
    """`channel.outbound`: messages into deliveries, fences into fences, what is erased into skeletons."""

    def __init__(self, store: DeliveryShelf, erasures: Erasures, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._erasures = erasures
        self._clock = clock
        self._metrics = metrics

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]:
        return await self._store.load(partitions)

    async def add(self, records: Sequence[Record]) -> Sequence[Taken]:
        decoded = [(record, read(record, decode_outbound)) for record in records]
        now = self._clock.now()
        came = [_delivery(record, item, now) for record, item in decoded if isinstance(item, DeliverMessage)]
        fences = _fences(item for _, item in decoded if isinstance(item, BotFence))
        await self._keep(came, fences, erasures_of(item for _, item in decoded), now)
        return [_taken(record, item) for record, item in decoded]

    async def _keep(
        self, came: Sequence[Delivery], fences: Mapping[str, int], erasures: Mapping[str, int], now: datetime
    ) -> None:
        """What is to be erased has a skeleton in the end, whoever inserts it too: README.md, "An erasure"."""
        known = await self._erasures.raised(erasures, {one.lane for one in came})
        deliveries = [as_it_may_be_kept(one, known, now) for one in came]
        new = await self._store.add(deliveries, fences)
        ended = len({one.ident for one in deliveries if one.erased}.intersection(new))
        for lane, up_to_seq in erasures.items():
            ended += await self._store.erase(lane, up_to_seq, now)
        if ended:
            self._metrics.counter("deliveries_ended", outcome="erased").inc(ended)


def read(record: Record, decode: Callable[[bytes], T]) -> T:
    """Poison where the record isn't one."""
    try:
        return decode(record.value or b"")
    except Undecodable as error:
        raise Poison("UNDECODABLE", str(error), record) from None


def _delivery(record: Record, item: DeliverMessage, now: datetime) -> Delivery:
    if item.message_id != message_id(item.conversation_id, item.seq):
        raise Poison("MISMATCH", "message_id is not made of conversation_id and seq", record)
    return Delivery(item, record.partition, inserted_at=now, next_at=now, trace=record.trace)


def _fences(items: Iterable[BotFence]) -> dict[str, int]:
    epochs: dict[str, int] = {}
    for item in items:
        lane = document_key(item.workspace, item.conversation_id)
        epochs[lane] = max(item.bot_epoch, epochs.get(lane, 0))
    return epochs


def erasures_of(items: Iterable[object]) -> dict[str, int]:
    """Lane -> the greatest seq up to which it is to be erased."""
    erasures: dict[str, int] = {}
    for item in items:
        if isinstance(item, EraseConversation):
            lane = document_key(item.workspace, item.conversation_id)
            erasures[lane] = max(item.up_to_seq, erasures.get(lane, 0))
    return erasures


def _taken(record: Record, item: Outbound) -> Taken:
    lane = document_key(item.workspace, item.conversation_id)
    match item:
        case DeliverMessage():
            return Filled(lane, (record.topic, record.partition), item.channel_id)
        case BotFence():
            return Raised(lane, item.bot_epoch)
        case EraseConversation():
            return Erased(lane, item.up_to_seq)
