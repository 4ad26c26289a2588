"""Writing to Kafka: acknowledged by all replicas, in order per key, once while the process lives; or known as unknown.

Why the order per partition holds under retries (aiokafka 0.14, producer/sender.py and message_accumulator.py): a
partition is muted while one of its batches is under way, a failed batch goes back to the *front* of its partition's
queue with the sequence number it already has, and with idempotence it is tried until it succeeds or the broker refuses
for good. A batch refused for good leaves a hole in the sequence, after which the broker refuses all that follows: so
such an error is Fatal.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, ProducerClosed
from aiokafka.partitioner import murmur2
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from shared.contracts.topics import MAX_RECORD_BYTES
from shared.runtime.faults import Fatal, Transient
from shared.runtime.records import Letter, Outgoing
from shared.runtime.traced_records import sending
from shared.runtime.tracing import current

if TYPE_CHECKING:
    from shared.runtime.messaging import Messaging

log = structlog.get_logger(__name__)

UNKNOWN = "the outcome is unknown, retry with the same id"
LETTER_ROOM_BYTES = 64 * 1024
"""A dead letter is the record and its reason: dead-letter topics take this much more."""

STOP_S = 5.0


@lru_cache(maxsize=65_536)
def _hash(key: bytes) -> int:
    # in Python it costs 10 µs a key, and conversations talk more than once
    return int(murmur2(key)) & 0x7FFFFFFF


def partition_for(key: str, partitions: int) -> int:
    """Where Kafka's default partitioner puts a key: every producer and reader agrees on it."""
    return _hash(key.encode()) % partitions


class Publisher(Protocol):
    """What services need of the producer: tests hand them the in-memory twin."""

    async def publish(self, records: Sequence[Outgoing]) -> None: ...


class Producer:
    """A component, safe from many tasks. The order is that of a call's records, and of calls that follow each other."""

    def __init__(self, messaging: "Messaging", deadline_s: float) -> None:
        self._messaging = messaging
        self._deadline_s = deadline_s
        self._client: AIOKafkaProducer | None = None
        self._overdue: set[asyncio.Future[object]] = set()
        self._seconds = messaging.metrics.histogram("publish_seconds")

    async def start(self) -> None:
        client = self._messaging.producer_client()
        try:
            await client.start()
        except BaseException as error:
            await client.stop()
            if isinstance(error, KafkaError):
                raise Transient(f"Kafka does not answer: {error}") from error
            raise
        self._client = client

    async def stop(self) -> None:
        """Give what is under way a moment, then close."""
        client, self._client = self._client, None
        if client is None:
            return
        stopping = asyncio.create_task(client.stop())
        await asyncio.wait([stopping], timeout=STOP_S)
        if not stopping.done():
            log.warning("producer stops with records under way: Kafka does not take them")
            # its own stop waits for ever for an absent broker, and half a minute for a hanging one
            client._message_accumulator.fail_all(ProducerClosed())
            await client.client.close()
            stopping.cancel()
            await asyncio.wait([stopping], timeout=1.0)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Return when all are acknowledged. Blocks up to the deadline. Within a span the records carry its trace.

        Raises Transient when it is not known in time whether they are stored (they may still arrive: publish the same
        again), Fatal when the producer is of no use any more, ValueError for a record over 2 MiB (nothing was sent).
        """
        span = current()
        if span is None:
            await self._publish(records)
            return
        with sending(span, records) as traced:
            await self._publish(traced)

    async def _publish(self, records: Sequence[Outgoing]) -> None:
        await self._send([Letter(r.topic, r.key.encode(), r.value, r.headers) for r in records], MAX_RECORD_BYTES)

    async def forward(self, letters: Sequence[Letter]) -> None:
        """As `publish`, for records with their keys as bytes; dead letters may be a little larger."""
        await self._send(letters, MAX_RECORD_BYTES + LETTER_ROOM_BYTES)

    async def _send(self, letters: Sequence[Letter], limit: int) -> None:
        if not letters:
            return
        for letter in letters:
            check_size(letter, limit)
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._settle_overdue()
                await self._acknowledged(letters)
        except (TimeoutError, KafkaTimeoutError) as error:
            raise Transient(f"Kafka did not acknowledge within {self._deadline_s:g} s: {UNKNOWN}") from error
        except KafkaError as error:
            raise self._judge(error) from error
        self._seconds.observe(time.monotonic() - began)
        self._count(letters)

    async def _settle_overdue(self) -> None:
        """Records of an earlier call are still on their way: a retry would put copies behind them."""
        if self._overdue:
            await asyncio.wait(self._overdue)

    async def _acknowledged(self, letters: Sequence[Letter]) -> None:
        futures: list[asyncio.Future[object]] = []
        try:
            for letter in letters:
                futures.append(await self._enqueue(letter))
            await asyncio.wait(futures)
        finally:
            self._remember([future for future in futures if not future.done()])
        errors = [
            error for future in futures if (error := future.exception()) is not None
        ]  # reads each: none goes unnoticed
        if errors:
            raise errors[0]

    async def _enqueue(self, letter: Letter) -> "asyncio.Future[object]":
        if self._client is None:
            raise ProducerClosed
        topic = self._messaging.on_broker(letter.topic)
        partition = None
        if letter.key is not None:
            # the same as aiokafka's default, which hashes and copies the partition sets for every record
            partition = _hash(letter.key) % len(await self._client.partitions_for(topic))
        value = b"" if letter.key is None and letter.value is None else letter.value
        future: asyncio.Future[object] = await self._client.send(
            topic, value, letter.key, partition=partition, headers=list(letter.headers)
        )
        return future

    def _remember(self, unsettled: "Sequence[asyncio.Future[object]]") -> None:
        for future in unsettled:
            self._overdue.add(future)
            future.add_done_callback(self._settled)

    def _settled(self, future: "asyncio.Future[object]") -> None:
        self._overdue.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            log.error("a record that was overdue was refused", error=repr(error))
            if isinstance(error, KafkaError):
                self._judge(error)

    def _judge(self, error: KafkaError) -> Transient | Fatal:
        if error.retriable or isinstance(error, ProducerClosed):
            return Transient(f"Kafka did not take the records ({type(error).__name__}): {UNKNOWN}")
        fatal = Fatal(f"the producer cannot go on: {type(error).__name__}: {error}")
        self._messaging.on_fatal(fatal)
        return fatal

    def _count(self, letters: Sequence[Letter]) -> None:
        counts: dict[str, int] = {}
        for letter in letters:
            counts[letter.topic] = counts.get(letter.topic, 0) + 1
        for topic, count in counts.items():
            self._messaging.metrics.counter("records_published", topic=topic).inc(count)


def check_size(letter: Letter, limit: int = MAX_RECORD_BYTES) -> None:
    """ValueError for a record over the limit."""
    # before anything is sent: a record refused by the broker would be a hole in the sequence, and Fatal
    size = DefaultRecordBatchBuilder.estimate_size_in_bytes(letter.key, letter.value, list(letter.headers))
    if size > limit:
        raise ValueError(f"a record of {size} bytes for {letter.topic} is over the limit of {limit}")
