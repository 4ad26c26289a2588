"""What the group consumer costs: records per second with a handler that does nothing, beside a bare client loop.

python -m bench.consumer_throughput KAFKA [RECORDS]      KAFKA = host:port of a broker; its topics are removed after
"""

import asyncio
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping

from aiokafka import AIOKafkaConsumer

from shared.contracts.topics import META, TOPICS
from shared.runtime import topic_admin
from shared.runtime.batches import Batch
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.records import Outgoing, Partition
from shared.runtime.settings import KafkaSettings

TOPIC = "channel.inbound"
VALUE = b"x" * 300
BATCH = 500


class Counting:
    """Does nothing but count."""

    def __init__(self, goal: int) -> None:
        self._left = goal
        self.done = asyncio.Event()

    async def handle(self, batch: Batch) -> None:
        self._left -= len(batch.records)
        if self._left <= 0:
            self.done.set()

    async def assigned(self, partitions: frozenset[Partition], committed: Mapping[Partition, int]) -> None: ...

    async def revoked(self, partitions: frozenset[Partition]) -> None: ...


async def publish(messaging: Messaging, records: int) -> None:
    producer = messaging.producer()
    await producer.start()
    for first in range(0, records, BATCH):
        await producer.publish([Outgoing(TOPIC, f"w:{n % 1000}", VALUE) for n in range(first, first + BATCH)])
    await producer.stop()


async def through_the_group(messaging: Messaging, records: int) -> None:
    handler = Counting(records)
    producer = messaging.producer()
    consumer = messaging.group("bench-group", [TOPIC], handler, producer)
    await producer.start()
    await consumer.start()
    await handler.done.wait()
    await consumer.stop()
    await producer.stop()


async def bare(messaging: Messaging, records: int, kafka: str) -> None:
    consumer = AIOKafkaConsumer(
        messaging.on_broker(TOPIC),
        bootstrap_servers=kafka,
        group_id=messaging.on_broker("bench-bare"),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2**21,
    )
    await consumer.start()
    seen = 0
    while seen < records:
        polled = await consumer.getmany(timeout_ms=200, max_records=BATCH)
        offsets = {at: raws[-1].offset + 1 for at, raws in polled.items() if raws}
        seen += sum(len(raws) for raws in polled.values())
        if offsets:
            await consumer.commit(offsets)
    await consumer.stop()


async def measured(name: str, records: int, work: Callable[[], Awaitable[None]]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:>16}: {records / wall:>9,.0f} records/s, {records / cpu:>9,.0f} records per CPU second")


async def main(kafka: str, records: int) -> None:
    where = KafkaSettings(kafka=kafka, topic_prefix=f"bench-{uuid.uuid4().hex[:8]}.")
    messaging = Messaging(where, "bench", "1", Metrics(), lambda error: print("fatal:", error))
    await topic_admin.apply(messaging, {name: TOPICS[name] for name in (TOPIC, META)})
    try:
        await measured("publish", records, lambda: publish(messaging, records))
        await measured("bare aiokafka", records, lambda: bare(messaging, records, kafka))
        await measured("group consumer", records, lambda: through_the_group(messaging, records))
    finally:
        admin = messaging.admin_client()
        await admin.start()
        await admin.delete_topics([messaging.on_broker(TOPIC), messaging.on_broker(META)])
        await admin.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200_000))
