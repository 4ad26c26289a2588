"""Reading a topic without a group: every process sees everything, and keeps its own place."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition

from shared.runtime.faults import Fatal, Transient
from shared.runtime.kafka_errors import FinalErrors
from shared.runtime.prefetch import one_round_ahead
from shared.runtime.records import Record
from shared.runtime.tasks import ended

if TYPE_CHECKING:
    from shared.runtime.messaging import Messaging

log = structlog.get_logger(__name__)

POLL_MS = 200
TROUBLE_S = 0.5
CLOSE_S = 4.0

OnRecords = Callable[[Sequence[Record]], None]
"""Records in the order of their partitions. Synchronous: it must return within milliseconds, and must not raise."""


@dataclass(frozen=True, slots=True)
class LookBack:
    """Begin this far back in each partition, whichever is less."""

    seconds: float = 600.0
    records: int = 50_000


Start = LookBack | Literal["earliest"]


class Tail:
    """A component: all partitions of a topic, from `start` on, for ever. Survives an outage of the broker; Fatal when
    its place is not in the topic any more (too slow for the retention, or the topic was cut or made anew)."""

    def __init__(
        self, messaging: "Messaging", topic: str, on_records: OnRecords, start: Start, max_records: int = 1_000
    ) -> None:
        self._messaging = messaging
        self._topic = topic
        self._on_records = on_records
        self._start = start
        self._max_records = max_records
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._partitions: list[TopicPartition] = []
        self._goal: dict[int, int] = {}
        self._caught_up = asyncio.Event()
        self._errors = FinalErrors()
        self.starts: Mapping[int, int] = {}
        """Where reading began, by partition."""
        self.positions: dict[int, int] = {}
        """The next offset to be read, by partition."""
        self.failure: Fatal | None = None

    async def start(self) -> None:
        """Settle where to begin, and begin. Raises Transient while Kafka is away (call again), Fatal without topic."""
        self._partitions = await self._messaging.partitions_of(self._topic)
        consumer = self._messaging.reader_client()
        try:
            await consumer.start()
            one_round_ahead(consumer)
            await self._place(consumer)
        except BaseException as error:
            await consumer.stop()
            if isinstance(error, KafkaError | TimeoutError):
                raise Transient(f"Kafka does not answer: {error}") from error
            raise
        self._consumer = consumer
        self._task = asyncio.create_task(self._run(consumer))

    async def stop(self) -> None:
        await ended([self._task])
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await consumer.stop()
            except (TimeoutError, KafkaError) as error:
                log.warning("not closed in order", topic=self._topic, error=repr(error))

    async def wait_caught_up(self) -> None:
        """Until everything that was there at the start has been read. Raises Fatal when that cannot happen any more."""
        await self._caught_up.wait()
        if self.failure is not None:
            raise self.failure

    @property
    def caught_up(self) -> bool:
        return self._caught_up.is_set() and self.failure is None

    def progress(self) -> str | None:
        """For liveness: it is a failure only, the broker may be away for as long as it likes."""
        return None if self.failure is None else str(self.failure)

    async def ready(self) -> str | None:
        return None if self.caught_up else f"reading {self._topic}"

    async def _place(self, consumer: AIOKafkaConsumer) -> None:
        consumer.assign(self._partitions)
        consumer.pause(*self._partitions)
        for at in self._partitions:  # before the next await: a partition without a position is an error to the client
            consumer.seek(at, 0)
        first = await consumer.beginning_offsets(self._partitions)
        end = await consumer.end_offsets(self._partitions)
        starts = first if self._start == "earliest" else await self._look_back(consumer, self._start, first, end)
        for at, offset in starts.items():
            consumer.seek(at, offset)
        consumer.resume(*self._partitions)
        self.starts = {at.partition: offset for at, offset in starts.items()}
        self._goal = {at.partition: offset for at, offset in end.items()}
        await self._note_positions(consumer)

    async def _look_back(
        self,
        consumer: AIOKafkaConsumer,
        back: LookBack,
        first: Mapping[TopicPartition, int],
        end: Mapping[TopicPartition, int],
    ) -> dict[TopicPartition, int]:
        since = int((time.time() - back.seconds) * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(self._partitions, since))
        recent = {at: end[at] if hit is None else hit.offset for at, hit in found.items()}
        return {at: max(first[at], recent[at], end[at] - back.records) for at in self._partitions}

    async def _run(self, consumer: AIOKafkaConsumer) -> None:
        while self.failure is None:
            try:
                polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=self._max_records)
                self._errors.none()
            except KafkaError as error:
                await self._troubled(error)
                continue
            if self._deliver(polled):
                await self._note_positions(consumer)
            await asyncio.sleep(0)  # a poll that finds records does not give way to others

    def _deliver(self, polled: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> bool:
        records = [self._messaging.record(raw) for raw in chain.from_iterable(polled.values())]
        try:
            if records:
                self._on_records(records)
        except Exception as error:
            log.exception("a reader failed", topic=self._topic)
            self._die(Fatal(f"the reader of {self._topic} failed: {error!r}"))
        return self.failure is None

    async def _note_positions(self, consumer: AIOKafkaConsumer) -> None:
        """The consumer's word, not the last record's: the end of a compacted partition may have no record left."""
        for at in self._partitions:
            self.positions[at.partition] = await consumer.position(at)
        if not self._caught_up.is_set() and all(self.positions[number] >= goal for number, goal in self._goal.items()):
            self._caught_up.set()

    async def _troubled(self, error: KafkaError) -> None:
        fault = self._errors.judge(error)
        if isinstance(fault, Fatal):
            self._die(Fatal(f"topic {self._topic}: {fault}"))
            return
        log.warning("trouble, going on", topic=self._topic, error=repr(error))
        await asyncio.sleep(TROUBLE_S)

    def _die(self, fault: Fatal) -> None:
        self.failure = fault
        self._caught_up.set()
        log.critical("the reader ends", topic=self._topic, error=str(fault))
        self._messaging.on_fatal(fault)
