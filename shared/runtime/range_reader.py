"""Reading a stretch of one partition, once."""

import asyncio
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from shared.runtime.faults import Transient
from shared.runtime.records import Record

if TYPE_CHECKING:
    from shared.runtime.messaging import Messaging


class OffsetGone(LookupError):
    """The stretch begins where the topic has no records (any more)."""


async def read_range(
    messaging: "Messaging",
    topic: str,
    partition: int,
    span: tuple[int, int],
    max_records: int,
    deadline_s: float = 10.0,
) -> list[Record]:
    """The records with `span[0] <= offset < span[1]`, at most `max_records`.

    Raises OffsetGone, or Transient when it takes longer than the deadline.
    """
    start, end = span
    if start >= end or max_records <= 0:
        return []
    consumer = messaging.reader_client()
    try:
        async with asyncio.timeout(deadline_s):
            await consumer.start()
            at = messaging.partition((topic, partition))
            consumer.assign([at])
            consumer.seek(at, start)
            return await _collect(messaging, consumer, at, end, max_records)
    except OffsetOutOfRangeError as error:
        raise OffsetGone(f"{topic}/{partition} has no offset {start}") from error
    except (KafkaError, TimeoutError) as error:
        raise Transient(f"Kafka did not deliver {topic}/{partition} {start}..{end}: {type(error).__name__}") from error
    finally:
        await consumer.stop()


async def _collect(
    messaging: "Messaging", consumer: AIOKafkaConsumer, at: TopicPartition, end: int, max_records: int
) -> list[Record]:
    found: list[Record] = []
    while len(found) < max_records and await consumer.position(at) < end:
        polled = await consumer.getmany(timeout_ms=200, max_records=max_records - len(found))
        if not polled and await consumer.position(at) == consumer.highwater(at):
            break  # the span ends beyond the partition
        found += [messaging.record(raw) for raw in polled.get(at, ()) if raw.offset < end]
    return found
