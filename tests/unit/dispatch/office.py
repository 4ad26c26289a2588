"""A dispatch without engines: real lanes and sender over stores in memory, a customer's channel, a clock that is moved.

A process is one life: it takes over what is stored, works until nothing is left to do, or crashes at a given step.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from services.dispatch.core.channel import Channel
from services.dispatch.core.delivery import Delivery
from services.dispatch.core.outcome import Outcome, Reply, Sent
from services.dispatch.core.plan import Timing
from services.dispatch.fence import Fence
from services.dispatch.lanes import Lanes, Limits
from services.dispatch.ports import Http
from services.dispatch.sender import Desk, Sender
from shared.contracts.capabilities import Capabilities
from shared.contracts.inbound import DeliveryReported
from shared.contracts.outbound import DeliverMessage
from shared.contracts.topics import CHANNEL_OUTBOUND
from shared.contracts.wire import decode_as
from shared.runtime.metrics import Metrics
from shared.runtime.outbound_http import Gate
from shared.runtime.records import Partition
from shared.runtime.tracing import OFF
from tests.unit.dispatch.builders import CHANNEL, SteppingClock, channel, delivery
from tests.unit.dispatch.memory import Crash, MemoryDeliveries, MemoryReports, Steps

TIMING = Timing()


class Customer:
    """A channel kind that keeps what reaches it. `reactions` by message id are used up in order; then it takes all."""

    def __init__(self, idempotent: bool = True) -> None:
        self.capabilities = Capabilities(idempotent=idempotent)
        self.arrivals: list[str] = []
        self.reactions: dict[str, list[Outcome]] = {}
        self.steps = Steps()
        self.gate: Gate | None = None
        self.on_connect: Callable[[], object] = lambda: None
        self.on_arrival: Callable[[], object] = lambda: None

    async def deliver(self, delivery: Delivery, channel: Channel, http: Http) -> Outcome:
        self.steps.step("connect")
        self.on_connect()
        if self.gate is not None:
            await self.gate()
        ident = delivery.record.message_id
        self.arrivals.append(ident)
        self.on_arrival()
        self.steps.step("handed over")
        reactions = self.reactions.get(ident)
        return reactions.pop(0) if reactions else Sent()

    @property
    def shown(self) -> list[str]:
        """What the customer sees: a repeat by our id is dropped where the channel deduplicates."""
        return list(dict.fromkeys(self.arrivals)) if self.capabilities.idempotent else self.arrivals


class OwnedPartitions:
    """`Partitions` of a process that owns everything and is up to date, unless said otherwise."""

    def __init__(self) -> None:
        self.end = self.at = self.asked = 0
        self.owned = True

    def owns(self, partition: Partition) -> bool:
        return self.owned

    def position(self, partition: Partition) -> int:
        return self.at

    async def end_offset(self, partition: Partition) -> int:
        self.asked += 1
        return self.end


class Office:
    """What outlives a process: the database, the broker, the customer, time."""

    def __init__(self, idempotent: bool = True) -> None:
        self.clock = SteppingClock()
        self.store = MemoryDeliveries()
        self.reports = MemoryReports(self.store.pending)
        self.customer = Customer(idempotent)
        self.partitions = OwnedPartitions()
        self.lanes = Lanes(Limits())
        self.channels = {CHANNEL: channel()}
        self.lives = 0
        self.jitter: Callable[[], float] = lambda: 0.0
        self.tracing = OFF

    async def queue(self, *records: DeliverMessage) -> None:
        await self.store.add([delivery(record) for record in records], {})

    async def life(self, crash_at: int | None = None, within: timedelta = timedelta(days=3)) -> Steps:
        """One process from its start to idleness or its crash; how far it came."""
        self.lives += 1
        steps = Steps(crash_at)
        self.store.steps = self.reports.steps = self.customer.steps = steps
        until = self.clock.now() + within
        with suppress(Crash):
            await self._work(self.sender(f"life-{self.lives}"), until)
        self.store.steps = self.reports.steps = self.customer.steps = Steps()
        return steps

    def sender(self, owner: str) -> Sender:
        desk = Desk(
            store=self.store,
            reports=self.reports,
            fence=Fence(self.partitions, patience_s=0.05),
            kinds={"webhook": self.customer},
            channel=self.channels.get,
            http=self._http,
            clock=self.clock,
            jitter=self.jitter,
            tracing=self.tracing,
        )
        return Sender(desk, owner, TIMING, Metrics())

    def reported(self) -> dict[str, DeliveryReported]:
        """By message id, what the broker was told; fails where it was told two different things."""
        told: dict[str, DeliveryReported] = {}
        for record in self.reports.published:
            report = decode_as(DeliveryReported, record.value or b"")
            assert told.setdefault(report.message_id, report) == report
        return told

    def _http(self, gate: Gate) -> Http:
        self.customer.gate = gate
        return NoHttp()

    async def _work(self, sender: Sender, until: datetime) -> None:
        self.lanes = lanes = Lanes(Limits())
        await self.reports.tell_left(range(12))
        for start in await self.store.load(range(12)):
            lanes.put(start.key, (CHANNEL_OUTBOUND, start.partition), start.channel_id, start.at)
        while True:
            turn = lanes.take(self.clock.now())
            if turn is not None:
                again = await sender.turn(turn.lane, turn.hurried)
                lanes.give_back(turn.lane, again, self.clock.now())
            elif (at := lanes.next_at()) is not None and self.clock.now() < until:
                self.clock.move_to(at)
            else:
                return


class NoHttp:
    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        raise AssertionError("the customer needs no HTTP")
