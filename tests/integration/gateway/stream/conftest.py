"""A stream on a real broker, without the rest of the gateway."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio
from aiokafka.admin.records_to_delete import RecordsToDelete

from services.gateway.stream import LiveStream, StreamSettings
from shared.contracts.events import CloudEvent
from shared.contracts.topics import META, TOPICS, WORKSPACE_EPHEMERAL, WORKSPACE_EVENTS
from shared.engines.addresses import Addresses
from shared.runtime import topic_admin
from shared.runtime.auth import Principal
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.producer import Producer
from shared.runtime.records import Outgoing
from shared.runtime.settings import KafkaSettings
from shared.testing.eventually import eventually
from shared.testing.stream_client import Peculiar, StreamClient

REGISTRY = {
    META: TOPICS[META],
    WORKSPACE_EPHEMERAL: replace(TOPICS[WORKSPACE_EPHEMERAL], partitions=2),
    WORKSPACE_EVENTS: replace(TOPICS[WORKSPACE_EVENTS], partitions=2),
}
SETTINGS = StreamSettings(key=b"a key for tests", tick_s=0.05, drain_s=0.3, linger_s=30.0, ahead_s=30.0, stuck_s=30.0)
"""No stall of the machine makes a reader too slow, or a cursor one from the future."""

BEATING = replace(SETTINGS, heartbeat_s=0.5)


@dataclass
class Conversation:
    """Makes the events of one conversation, in order."""

    workspace: str
    ident: str
    seq: int = 0

    def next(self, text: str = "hello", **fields: Any) -> CloudEvent:
        self.seq += 1
        return self.event(self.seq, text, **fields)

    def event(self, seq: int | None, text: str = "hello", **fields: Any) -> CloudEvent:
        made = {
            "id": str(uuid.uuid4()),
            "type": "relaydesk.message.received.v1",
            "source": "/routing",
            "subject": self.ident,
            "time": "2026-01-31T12:00:00.000Z",
            "workspace": self.workspace,
            "seq": seq,
            "causationid": f"{self.ident}-{seq}",
            "actor": "system",
            "data": {"text": text},
        }
        return CloudEvent.model_validate({**made, **fields})


class StreamWorld:
    """Topics of this test's own, a producer, and as many replicas as a test starts, all by the same `clock`."""

    def __init__(self, where: KafkaSettings, workspace: str, stack: AsyncExitStack) -> None:
        self._where, self._stack = where, stack
        self.workspace = workspace
        self.clock: Clock = SystemClock()
        self.fatals: list[BaseException] = []
        self.metrics = Metrics()
        self.messaging = Messaging(where, "gateway", "1", self.metrics, self.fatals.append)
        self._producer: Producer | None = None

    async def begin(self) -> None:
        await topic_admin.apply(self.messaging, REGISTRY)
        self._producer = self.messaging.producer()
        self._stack.push_async_callback(self._producer.stop)
        await self._producer.start()

    def conversation(self, workspace: str | None = None) -> Conversation:
        return Conversation(workspace or self.workspace, str(uuid.uuid4()))

    async def publish(self, *events: CloudEvent) -> None:
        assert self._producer is not None
        await self._producer.publish(
            [Outgoing(WORKSPACE_EVENTS, event.workspace, event.encoded(), event.headers()) for event in events]
        )

    async def publish_bytes(self, value: bytes) -> None:
        assert self._producer is not None
        await self._producer.publish([Outgoing(WORKSPACE_EVENTS, self.workspace, value)])

    async def publish_to(self, topic: str, value: bytes, headers: tuple[tuple[str, bytes], ...]) -> None:
        assert self._producer is not None
        await self._producer.publish([Outgoing(topic, self.workspace, value, headers)])

    async def replica(self, settings: StreamSettings = SETTINGS) -> "Replica":
        """Started; stopped after the test at the latest."""
        incarnations = self.messaging.incarnations()
        self._stack.push_async_callback(incarnations.stop)
        await incarnations.start()
        metrics = Metrics()
        assert self._producer is not None
        stream = LiveStream(self.messaging, incarnations, settings, self.clock, metrics, self._producer)
        self._stack.push_async_callback(stream.stop)
        await stream.start()
        return Replica(stream, self.workspace, metrics, self._stack)

    async def forget_before(self, partition: int, offset: int) -> None:
        """What retention does."""
        admin = self.messaging.admin_client()
        await admin.start()
        try:
            at = self.messaging.partition((WORKSPACE_EVENTS, partition))
            await admin.delete_records({at: RecordsToDelete(before_offset=offset)})
        finally:
            await admin.close()

    async def recreate(self) -> None:
        """The event topic's next life."""
        admin = self.messaging.admin_client()
        await admin.start()
        name = self.messaging.on_broker(WORKSPACE_EVENTS)
        try:
            await admin.delete_topics([name])
            await eventually(lambda: _gone(admin, name), "the topic is gone")
        finally:
            await admin.close()
        await topic_admin.apply(self.messaging, REGISTRY)


async def _gone(admin: Any, name: str) -> bool:
    return name not in await admin.list_topics()


class Replica:
    """One stream, and clients of it."""

    def __init__(self, stream: LiveStream, workspace: str, metrics: Metrics, stack: AsyncExitStack) -> None:
        self.stream, self.workspace, self._metrics, self._stack = stream, workspace, metrics, stack

    def principal(self, member_id: str = "ann", lasts: float = 3600, workspace: str | None = None) -> Principal:
        ends = datetime.now(UTC) + timedelta(seconds=lasts)
        return Principal(workspace or self.workspace, member_id, "agent", member_id, ends)

    async def client(self, cursor: str = "", peculiar: Peculiar | None = None, **who: Any) -> StreamClient:
        """Connected and welcomed."""
        ticket = self.stream.ticket(self.principal(**who))
        client = await StreamClient.connect(ticket.url, ticket.ticket, cursor, peculiar)
        await self._stack.enter_async_context(client)
        await eventually(lambda: client.welcome, "welcome")
        return client

    async def stalled(self, cursor: str = "") -> StreamClient:
        """Connected with tiny buffers and not reading."""
        ticket = self.stream.ticket(self.principal())
        client = await StreamClient.stalled(ticket.url, ticket.ticket, cursor, Peculiar(receive_buffer=4096))
        return await self._stack.enter_async_context(client)

    def counted(self, name: str, **labels: str) -> float:
        return self._metrics.registry.get_sample_value(f"relaydesk_{name}_total", labels) or 0.0

    def sockets(self) -> float:
        return self._metrics.registry.get_sample_value("relaydesk_stream_sockets") or 0.0


def seqs(client: StreamClient) -> list[int]:
    return [event["seq"] for event in client.events]


async def has(client: StreamClient, wanted: Sequence[int]) -> None:
    """Exactly these seqs, in this order."""
    try:
        await eventually(lambda: len(client.events) >= len(wanted), f"{len(wanted)} events")
    finally:
        assert seqs(client)[: len(wanted)] == list(wanted)[: len(client.events)]
    assert seqs(client) == list(wanted)


@pytest_asyncio.fixture
async def world(engines: Addresses, topic_prefix: str, workspace: str) -> AsyncIterator[StreamWorld]:
    async with AsyncExitStack() as stack:
        made = StreamWorld(KafkaSettings(kafka=engines.kafka, topic_prefix=topic_prefix), workspace, stack)
        await made.begin()
        yield made
