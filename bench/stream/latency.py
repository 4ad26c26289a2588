"""What the gateway adds between a record in Kafka and its frame at a client.

Once with nothing subtracted, from the moment when the producer knows that the record is stored (`acks=all`); once as
what the frame is later than the record at a bare consumer of the same topic. Kafka, the producer, the bare consumer and
the client are on the last core, the gateway on the first.
"""

import asyncio
import multiprocessing
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from bench.pipeline.latency import spread
from bench.pipeline.report import Bar
from bench.stream.sink import pin, until
from services.gateway.stream import LiveStream, StreamSettings
from shared.contracts.events import CloudEvent
from shared.contracts.topics import META, TOPICS, WORKSPACE_EPHEMERAL, WORKSPACE_EVENTS
from shared.engines.local import EnginePorts, LocalEngines
from shared.engines.s3 import S3Keys
from shared.runtime import topic_admin
from shared.runtime.auth import Principal
from shared.runtime.clock import SystemClock
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.records import Outgoing
from shared.runtime.settings import KafkaSettings
from shared.testing.stream_client import StreamClient

WORKSPACE, CONVERSATION = "acme", str(uuid.uuid4())
EVERY_S = 0.05
REGISTRY = {name: replace(TOPICS[name], partitions=1) for name in (META, WORKSPACE_EVENTS, WORKSPACE_EPHEMERAL)}


async def latency(quick: bool) -> list[Bar]:
    async with _stream() as (kafka, stream):
        principal = Principal(WORKSPACE, "ann", "agent", "Ann", datetime.now(UTC) + timedelta(hours=1))
        ticket = stream.ticket(principal)
        receiver, sender = multiprocessing.Pipe(duplex=False)
        arguments = (kafka, ticket.url, ticket.ticket, 100 if quick else 500, sender)
        multiprocessing.Process(target=_process, args=arguments, daemon=True).start()
        await until(receiver.poll)
        at: Moments = receiver.recv()
    _p99("send to acknowledged", at.sent, at.stored)
    _p99("send to a bare consumer", at.sent, at.bare)
    _p99("send to frame", at.sent, at.frame)
    _p99("acknowledged to bare", at.stored, at.bare)
    _p99("acknowledged to frame", at.stored, at.frame)
    added = _p99("bare consumer to frame", at.bare, at.frame)
    return [Bar("added from Kafka to the frame, idle: p99 ms", added, 5, at_most=True)]


class Moments(NamedTuple):
    """Of each event, by one clock. A frame may come before the acknowledgement: both leave Kafka when it is stored."""

    sent: list[float]
    stored: list[float]
    bare: list[float]
    frame: list[float]


def _p99(name: str, earlier: list[float], later: list[float]) -> float:
    found = spread([end - begun for begun, end in zip(earlier, later, strict=True)])
    assert found is not None
    print(f"  {name:<24} ms: p50 {found.p50:.2f}  p99 {found.p99:.2f}  most {found.most:.2f}", flush=True)
    return found.p99


@asynccontextmanager
async def _stream() -> AsyncIterator[tuple[str, LiveStream]]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="relaydesk-bench-", ignore_cleanup_errors=True))
        engines = LocalEngines(Path(folder), EnginePorts.free(), S3Keys("relaydesk", "relaydesk-bench"), ("kafka",))
        pin(-1)
        engines.start()
        pin(0)
        stack.callback(engines.stop)
        messaging = Messaging(KafkaSettings(kafka=engines.addresses.kafka), "gateway", "bench", Metrics(), _fatal)
        await topic_admin.apply(messaging, REGISTRY)
        producer, incarnations = messaging.producer(), messaging.incarnations()
        settings, clock = StreamSettings(key=b"bench"), SystemClock()
        stream = LiveStream(messaging, incarnations, settings, clock, Metrics(), producer)
        for component in (producer, incarnations, stream):
            stack.push_async_callback(component.stop)
            await component.start()
        yield engines.addresses.kafka, stream


def _fatal(error: BaseException) -> None:
    raise RuntimeError("the stream's reader ended") from error


class _Client(StreamClient):
    """Notes when each event came."""

    def _keep(self, frame: dict[str, Any]) -> None:
        frame["came"] = time.monotonic()
        super()._keep(frame)


def _process(kafka: str, url: str, ticket: str, events: int, sender: Connection) -> None:
    pin(-1)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sender.send(runner.run(_measured(kafka, url, ticket, events)))


async def _measured(kafka: str, url: str, ticket: str, events: int) -> Moments:
    messaging = Messaging(KafkaSettings(kafka=kafka), "bench", "client", Metrics(), _fatal)
    producer = messaging.producer()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    async with AsyncExitStack() as stack:
        for part in (producer, consumer):
            stack.push_async_callback(part.stop)
            await part.start()
        at = TopicPartition(WORKSPACE_EVENTS, 0)
        consumer.assign([at])
        await consumer.seek_to_end(at)
        client = await stack.enter_async_context(await _Client.connect(url, ticket))
        await until(lambda: bool(client.welcome))
        seen: list[float] = []
        reading = asyncio.create_task(_read(consumer, seen, events))
        sent = [await _sent(producer, seq) for seq in range(1, events + 1)]
        await reading
        await until(lambda: len(client.events) == events)
    sent_at, stored_at = ([pair[at] for pair in sent] for at in (0, 1))
    return Moments(sent_at, stored_at, seen, [frame["came"] for frame in client.of("event")])


async def _sent(producer: Any, seq: int) -> tuple[float, float]:
    """When it was sent, and when it was known to be stored."""
    await asyncio.sleep(EVERY_S)
    event = _event(seq)
    record = Outgoing(WORKSPACE_EVENTS, WORKSPACE, event.encoded(), event.headers())
    begun = time.monotonic()
    await producer.publish([record])
    return begun, time.monotonic()


async def _read(consumer: AIOKafkaConsumer, seen: list[float], events: int) -> None:
    while len(seen) < events:
        found = await consumer.getmany(timeout_ms=1_000)
        seen += [time.monotonic() for records in found.values() for _ in records]


def _event(seq: int) -> CloudEvent:
    return CloudEvent(
        id=str(uuid.uuid4()),
        type="relaydesk.message.received.v1",
        source="/routing",
        subject=CONVERSATION,
        time="2026-01-31T12:00:00.000Z",
        workspace=WORKSPACE,
        seq=seq,
        causationid=f"cause-{seq}",
        actor="system",
        data={"text": "x" * 200},
    )
