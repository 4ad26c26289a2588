"""What the same backlog costs without any rule: a raw client loop, and the Kafka and MongoDB calls that routing makes.

The calls of a batch: what is remembered of its ids (one find), conversations that were not read before (one find), one
transaction with a compare-and-set for each conversation and an insert for each id, the records that follow, produced
and acknowledged, the offsets committed. Documents are as large as routing's own.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import InsertOne, ReplaceOne

from bench.pipeline.backlog import Rate

PARTITIONS = 12
BATCH = 500
"""Records a poll, as routing has it."""

Raws = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows of routing's collections to copy, and the bytes of an event."""

    conversation: Mapping[str, Any]
    seen: Mapping[str, Any]
    event: int


class Floors:
    """Both floors over one backlog, in topics and a database of their own that are dropped afterwards."""

    def __init__(self, kafka: str, mongo: str) -> None:
        self._kafka = kafka
        self._mongo: Any = AsyncIOMotorClient(mongo, w="majority", readConcernLevel="majority")
        self._name = f"bench-{uuid.uuid4().hex[:8]}"

    async def measured(self, records: Sequence[tuple[bytes, bytes]], event_bytes: int) -> tuple[Rate, Rate]:
        """-> (raw client loop, bare loop)"""
        async with self._topics() as (backlog, out):
            await self._fill(backlog, records)
            sizes = await self._sizes(event_bytes)
            async with self._producer() as producer:
                bare = _Bare(self._mongo, self._name, sizes)
                try:
                    raw = await self._worked(backlog, _produce_only(producer, out, event_bytes), len(records))
                    with_rules_left_out = bare.handler(producer, out)
                    return raw, await self._worked(backlog, with_rules_left_out, len(records))
                finally:
                    await self._mongo.drop_database(self._name)

    async def _sizes(self, event_bytes: int) -> Sizes:
        rows = self._mongo["relaydesk_routing"]
        return Sizes(await rows["conversations"].find_one(), await rows["seen"].find_one(), event_bytes)

    async def _worked(self, topic: str, handle: Callable[[Raws], Awaitable[None]], count: int) -> Rate:
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=self._kafka,
            group_id=f"{self._name}-{uuid.uuid4().hex[:4]}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=2**21,
        )
        await consumer.start()
        try:
            while not consumer.assignment():  # noqa: ASYNC110 - the client has no event for it
                await asyncio.sleep(0.01)
            wall, cpu, done = time.perf_counter(), time.process_time(), 0
            while done < count:
                polled = await consumer.getmany(timeout_ms=200, max_records=BATCH)
                raws = [raw for found in polled.values() for raw in found]
                if raws:
                    await handle(raws)
                    await consumer.commit({at: found[-1].offset + 1 for at, found in polled.items() if found})
                    done += len(raws)
            return Rate(count, time.perf_counter() - wall, time.process_time() - cpu)
        finally:
            await consumer.stop()

    async def _fill(self, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
        async with self._producer() as producer:
            await asyncio.gather(*[await producer.send(topic, value, key) for key, value in records])

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(bootstrap_servers=self._kafka, acks="all", enable_idempotence=True, linger_ms=2)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    @asynccontextmanager
    async def _topics(self) -> AsyncIterator[tuple[str, str]]:
        names = (f"{self._name}.in", f"{self._name}.out")
        admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
            yield names
            await admin.delete_topics(list(names))
        finally:
            await admin.close()


def _produce_only(producer: AIOKafkaProducer, out: str, event_bytes: int) -> Callable[[Raws], Awaitable[None]]:
    async def handle(raws: Raws) -> None:
        value = b"e" * event_bytes
        await asyncio.gather(*[await producer.send(out, value, b"demo") for _ in raws])

    return handle


class _Bare:
    def __init__(self, mongo: Any, database: str, sizes: Sizes) -> None:
        self._mongo = mongo
        self._conversations = mongo[database]["conversations"]
        self._seen = mongo[database]["seen"]
        self._sizes = sizes
        self._versions: dict[str, int] = {}

    def handler(self, producer: AIOKafkaProducer, out: str) -> Callable[[Raws], Awaitable[None]]:
        produce = _produce_only(producer, out, self._sizes.event)

        async def handle(raws: Raws) -> None:
            keys, ids = [raw.key.decode() for raw in raws], [f"{raw.partition}/{raw.offset}" for raw in raws]
            await self._seen.find({"_id": {"$in": ids}}).to_list(None)
            if new := [key for key in dict.fromkeys(keys) if key not in self._versions]:
                await self._conversations.find({"_id": {"$in": new}}).to_list(None)
            await self._write(keys, ids)
            await produce(raws)

        return handle

    async def _write(self, keys: Sequence[str], ids: Sequence[str]) -> None:
        writes = [self._changed(key, keys.count(key)) for key in dict.fromkeys(keys)]
        seen = [{**self._sizes.seen, "_id": ident} for ident in ids]
        async with await self._mongo.start_session() as session:
            session.start_transaction()
            await self._conversations.bulk_write(writes, ordered=False, session=session)
            await self._seen.insert_many(seen, ordered=False, session=session)
            await session.commit_transaction()

    def _changed(self, key: str, records: int) -> InsertOne[Any] | ReplaceOne[Any]:
        version = self._versions[key] = self._versions.get(key, 0) + 1
        entry = {"source": "s", "offset": 0, "at_ms": 0, "topic": "t", "key": key, "value": b"e" * self._sizes.event}
        row = {**self._sizes.conversation, "_id": key, "version": version, "pending": [entry] * records}
        return InsertOne(row) if version == 1 else ReplaceOne({"_id": key, "version": version - 1}, row)
