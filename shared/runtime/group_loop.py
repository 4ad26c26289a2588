"""One turn after the other: take over, poll, handle, commit.

Runs in FastStream's task of the subscriber and knows nothing of its life.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError, KafkaError, NoOffsetForPartitionError
from aiokafka.structs import ConsumerRecord

from shared.runtime.backoff import Backoff
from shared.runtime.batch_runner import BatchRunner
from shared.runtime.batches import Batch, Handler
from shared.runtime.deadletter import DeadLetters, Forwarder, OnDeadLetter, nobody_asks
from shared.runtime.end_offsets import EndOffsets
from shared.runtime.engine_errors import is_away
from shared.runtime.faults import Fatal, Fault, Fenced, Transient
from shared.runtime.group_meter import GroupMeter
from shared.runtime.holdings import Holdings, starting_points
from shared.runtime.kafka_errors import FinalErrors
from shared.runtime.prefetch import one_round_ahead
from shared.runtime.rebalance import Rebalance, Tenancy
from shared.runtime.records import Partition
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.traced_records import Processing

if TYPE_CHECKING:
    from shared.runtime.messaging import Messaging

log = structlog.get_logger(__name__)

Polled = tuple[ConsumerRecord, ...]

POLL_MS = 200


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """`on_dead_letter` is awaited before a dead-lettered record's offset passes. Times in seconds."""

    max_records: int = 500
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    dead_letters_in_a_row: int = 100
    on_dead_letter: OnDeadLetter = nobody_asks
    session_timeout_s: float = 45.0
    max_poll_interval_s: float = 300.0
    revoke_wait_s: float = 20.0
    grace_s: float = 10.0
    stall_s: float = 90.0


class GroupLoop:
    """The turns of one member, and what they need to remember."""

    def __init__(
        self,
        messaging: "Messaging",
        group: str,
        topics: Sequence[str],
        handler: Handler,
        producer: Forwarder,
        options: GroupOptions,
    ) -> None:
        self._messaging = messaging
        self._options = options
        self._log = log.bind(group=group)
        self.meter = GroupMeter(messaging.metrics, group, topics)
        self.holdings = Holdings()
        self.ends = EndOffsets(messaging)
        letters = DeadLetters(producer, messaging.metrics, options.on_dead_letter, options.dead_letters_in_a_row)
        self.runner = BatchRunner(handler, options.retry, letters, self.meter)
        self.tenancy = Tenancy(handler, self.die)
        self.rebalance = Rebalance(messaging, self.holdings, self.tenancy, self.runner.interrupt, options.revoke_wait_s)
        self._processing = Processing(messaging.tracing, group)
        self._errors = FinalErrors()
        self._consumer: AIOKafkaConsumer | None = None
        self._taken: frozenset[Partition] | None = None
        self._trouble: Backoff | None = None
        self.stopping = False
        self.failure: Fatal | None = None

    def trouble(self) -> str | None:
        """None when partitions were assigned (perhaps none) and nothing is in the way."""
        if self.failure is not None:
            return "stopped"
        if self._taken is None or self._taken is not self.rebalance.assigned:
            return "waiting for partitions"
        return self.runner.holding or ("in trouble" if self._trouble else None)

    async def poll(self, consumer: AIOKafkaConsumer) -> Polled:
        """In place of FastStream's: does not sleep after an empty poll, and no error leaves it."""
        if consumer is not self._consumer:
            one_round_ahead(consumer)
            self._consumer = consumer
        if self.failure is not None or self.stopping:
            await asyncio.sleep(POLL_MS / 1000)  # FastStream's loop has not noticed yet
            return ()
        try:
            return await self._poll(consumer)
        except ConsumerStoppedError:
            raise  # how FastStream's loop ends
        except NoOffsetForPartitionError:
            return ()  # the client looked for a position before we have set it
        except Exception as error:  # noqa: BLE001 - judged, and logged there
            await self._troubled(error)
            return ()

    async def deliver(self, polled: Polled) -> None:
        """One batch from poll to commit. Nothing leaves it: FastStream would swallow it."""
        error: Exception | None = None
        async with self.tenancy.busy:
            try:
                await self._process(polled)
            except Exception as raised:  # noqa: BLE001 - judged below, when the handler is free again
                error = raised
        if error is not None:
            await self._troubled(error, len(polled))

    def die(self, fault: Fatal) -> None:
        self.failure = self.failure or fault
        self._log.critical("the consumer ends", error=str(fault))
        self._messaging.on_fatal(fault)

    async def _poll(self, consumer: AIOKafkaConsumer) -> Polled:
        if self.rebalance.assigned is not self._taken:
            await self._take_over(consumer)
        polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=self._options.max_records)
        self._errors.none()
        if self.rebalance.assigned is not self._taken:
            return ()  # fetched before it was settled where to begin
        if not polled:
            self._trouble = None  # all is quiet, nothing waits for another try
        return tuple(chain.from_iterable(polled.values()))

    async def _take_over(self, consumer: AIOKafkaConsumer) -> None:
        """Begin with a new assignment, or anew with the old one after a fence: from the offsets that are committed."""
        self.holdings.release()
        self._taken = None
        async with self.tenancy.busy:
            await self.tenancy.withdraw()  # after a fence, or when a batch outlasted the revocation
        partitions = self.rebalance.assigned
        if partitions is None or self.stopping:
            return
        self.runner.interrupt.clear()
        starts, committed = await self._offsets(consumer, partitions)
        async with self.tenancy.busy:
            if partitions is not self.rebalance.assigned:
                return
            for at, offset in starts.items():
                consumer.seek(self._messaging.partition(at), offset)
            await self.tenancy.announce(partitions, committed)
            if partitions is self.rebalance.assigned:
                self.holdings.take(starts, committed)
                self._taken = partitions
        self.meter.taken_over()
        self._log.info("partitions taken over", partitions=len(partitions))

    async def _offsets(
        self, consumer: AIOKafkaConsumer, partitions: frozenset[Partition]
    ) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """Where to begin, and what is committed. Raises Fatal when the stored offset is not in the topic."""
        if not partitions:
            return {}, {}
        order = sorted(partitions)
        stored = await asyncio.gather(*(consumer.committed(self._messaging.partition(at)) for at in order))
        committed = dict(zip(order, stored, strict=True))
        starts = starting_points(committed, await self.ends.first(order), await self.ends.end(order))
        return starts, {at: offset or 0 for at, offset in committed.items()}

    async def _process(self, polled: Polled) -> None:
        began = time.monotonic()
        batch = Batch([self._messaging.record(raw) for raw in polled], self.holdings.committed)
        offsets = batch.next_offsets()
        if self._consumer is None or not offsets.keys() <= self.holdings.owned:
            return  # revoked since the poll; nothing was committed, so the new owner reads it
        with self._processing.of(batch) as traced:
            await self.runner.run(traced)
        self.holdings.handled(offsets)
        self.holdings.written.update(batch.written())
        await self._commit(self._consumer, offsets)
        self.holdings.stored(offsets)
        self._trouble = None
        self.meter.handled(batch.records, time.monotonic() - began)

    async def _commit(self, consumer: AIOKafkaConsumer, offsets: Mapping[Partition, int]) -> None:
        """Repeated by aiokafka while the coordinator is away; refused because of a rebalance, it is a fence."""
        try:
            await consumer.commit({self._messaging.partition(at): offset for at, offset in offsets.items()})
        except KafkaError:
            self.meter.commit_failed()
            raise

    async def _troubled(self, error: Exception, records: int = 0) -> None:
        fault = self._fault(error)
        if isinstance(fault, Fatal):
            self.die(fault)
            return
        if isinstance(fault, Fenced):
            self.meter.fenced(records)
            self._taken = None  # begin anew from the committed offsets
        self._trouble = self._trouble or Backoff(self._options.retry, self.runner.interrupt)
        self._log.warning("trouble, going on", fault=type(fault).__name__, error=str(error))
        await self._trouble.wait()

    def _fault(self, error: Exception) -> Fault:
        match error:
            case Fault():
                return error
            case KafkaError():
                return self._errors.judge(error)
            case _ if is_away(error):
                return Transient(str(error))
            case _:
                self._log.error("unexpected error", exc_info=error)
                return Fatal(f"unexpected error: {error!r}")
