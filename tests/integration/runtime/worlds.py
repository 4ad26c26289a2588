"""Kafka and its in-memory twin as one thing to the conformance suite, and a handler that remembers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from shared.contracts.topics import TOPICS, Topic, dead_letter_name
from shared.runtime.batches import Batch
from shared.runtime.group_loop import GroupOptions
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.range_reader import read_range
from shared.runtime.records import Outgoing, Partition, Record
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.settings import KafkaSettings
from shared.testing.kafka_twin import TwinBroker, TwinMessaging

INBOUND = "channel.inbound"
COMMANDS = "conversation.commands"
CONTACTS = "contacts"
META = "relaydesk.meta"

NAMES = (INBOUND, COMMANDS, CONTACTS, META, dead_letter_name(INBOUND), dead_letter_name(COMMANDS))
REGISTRY: Mapping[str, Topic] = {
    name: replace(TOPICS[name], partitions=min(2, TOPICS[name].partitions)) for name in NAMES
}

SOON = RetryPolicy(first_delay_s=0.01, longest_delay_s=0.1)
"""The real policy without its patience."""
QUICK = GroupOptions(retry=SOON)


class World(Protocol):
    """What the suite asks of both."""

    fatals: list[BaseException]
    metrics: Metrics

    @property
    def messaging(self) -> Messaging | TwinMessaging: ...

    async def committed(self, group: str) -> Mapping[Partition, int]: ...

    async def records(self, topic: str) -> list[Record]: ...


@dataclass
class BrokerWorld:
    """The real thing."""

    where: KafkaSettings
    name: str = "svc"
    fatals: list[BaseException] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def messaging(self) -> Messaging:
        return self.member("1")

    def member(self, instance: str) -> Messaging:
        return Messaging(self.where, self.name, instance, self.metrics, self.fatals.append)

    async def committed(self, group: str) -> Mapping[Partition, int]:
        messaging, admin = self.messaging, self.messaging.admin_client()
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(messaging.on_broker(group))
        finally:
            await admin.close()
        return {messaging.registered(at): stored.offset for at, stored in offsets.items()}

    async def records(self, topic: str) -> list[Record]:
        found: list[Record] = []
        for number in range(REGISTRY[topic].partitions):
            found += await read_range(self.messaging, topic, number, (0, 1_000_000), 10_000)
        return found


@dataclass
class TwinWorld:
    """The twin."""

    broker: TwinBroker = field(
        default_factory=lambda: TwinBroker({name: topic.partitions for name, topic in REGISTRY.items()})
    )
    fatals: list[BaseException] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def messaging(self) -> TwinMessaging:
        return TwinMessaging(self.broker, self.metrics, self.fatals.append)

    async def committed(self, group: str) -> Mapping[Partition, int]:
        return dict(self.broker.committed.get(group, {}))

    async def records(self, topic: str) -> list[Record]:
        return self.broker.records(topic)


Act = Callable[[Batch], Awaitable[None]]


class Recorder:
    """A handler that remembers what it was given; `act` is what it does before that counts as handled."""

    def __init__(self, act: Act | None = None) -> None:
        self.act = act
        self.calls: list[list[Record]] = []
        self.handled: list[Record] = []
        self.committed_seen: list[Mapping[Partition, int]] = []
        self.assignments: list[tuple[frozenset[Partition], Mapping[Partition, int]]] = []
        self.revocations: list[frozenset[Partition]] = []

    async def handle(self, batch: Batch) -> None:
        self.calls.append(list(batch.records))
        self.committed_seen.append(dict(batch.committed))
        if self.act is not None:
            await self.act(batch)
        self.handled += batch.records

    async def assigned(self, partitions: frozenset[Partition], committed: Mapping[Partition, int]) -> None:
        self.assignments.append((partitions, dict(committed)))

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        self.revocations.append(partitions)

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.handled]


def numbered(count: int, topic: str = INBOUND, key: str = "w:c", first: int = 0) -> list[Outgoing]:
    """Records of one key (so of one partition), valued 0, 1, 2 …"""
    return [Outgoing(topic, key, str(number).encode()) for number in range(first, first + count)]
