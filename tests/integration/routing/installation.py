"""Routing as it runs, on real engines, with two partitions: processes to start and cut off, topics around them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from services.routing.app import TOPICS_USED
from services.routing.handlers import Ports, Producer, Routing
from services.routing.meter import Meter
from services.routing.store import Store
from shared.contracts.commands import CommandRecord
from shared.contracts.events import CloudEvent
from shared.contracts.ids import document_key
from shared.contracts.topics import (
    CHANNEL_INBOUND,
    CONVERSATION_COMMANDS,
    ROUTING_INPUTS,
    TOPICS,
    WORKSPACE_EVENTS,
    dead_letter_name,
)
from shared.contracts.wire import decode_event, encode
from shared.engines.addresses import Addresses
from shared.runtime.clock import SystemClock
from shared.runtime.component import Component
from shared.runtime.group_loop import GroupOptions
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Driver, Mongo
from shared.runtime.range_reader import read_range
from shared.runtime.records import Outgoing, Record
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.settings import KafkaSettings
from shared.runtime.topic_admin import apply
from shared.testing.eventually import eventually
from tests.unit.routing.simulation import Item

REGISTRY = {name: replace(TOPICS[name], partitions=min(2, TOPICS[name].partitions)) for name in TOPICS_USED}
SOON = RetryPolicy(first_delay_s=0.01, longest_delay_s=0.1)
Wrap = Callable[[Producer], Producer]


def unwrapped(producer: Producer) -> Producer:
    return producer


@dataclass(frozen=True)
class Place:
    """Where an installation lives: engines, and names that nobody else uses."""

    engines: Addresses
    topic_prefix: str
    mongo_prefix: str
    driver: Driver = "motor"

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(kafka=self.engines.kafka, topic_prefix=self.topic_prefix)

    def mongo(self, metrics: Metrics) -> Mongo:
        return Mongo(self.engines.mongo, f"{self.mongo_prefix}_routing", self.driver, metrics)


class Process:
    """One life of the service, put together as in `app`, so that a test can stand between it and Kafka. `grace_s`: so
    long may a batch under way take to its commit when it ends."""

    def __init__(self, place: Place, wrap: Wrap, grace_s: float) -> None:
        self.metrics, self.fatals = Metrics(), list[BaseException]()
        messaging = Messaging(place.kafka, "routing", "1", self.metrics, self.fatals.append)
        mongo, producer, incarnations = place.mongo(self.metrics), messaging.producer(), messaging.incarnations()
        self.db, store = mongo.db, Store(mongo)
        ports = Ports(store, wrap(producer), incarnations, SystemClock(), Meter(self.metrics))
        routing = Routing(ports, 1_000)
        options = GroupOptions(retry=SOON, on_dead_letter=routing.dead_lettered, grace_s=grace_s)
        group = messaging.group("routing", ROUTING_INPUTS, routing, producer, options)
        self._components: list[Component] = [mongo, store, producer, incarnations, group]
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for component in self._components:
            self._stack.push_async_callback(component.stop)
            await component.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def counted(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"relaydesk_{name}_total") or 0.0


class Installation:
    """What is around routing: who writes to it, who reads from it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.messaging = Messaging(place.kafka, "test", "1", Metrics(), self._fatal)
        self._producer = self.messaging.producer()

    async def start(self) -> None:
        await apply(self.messaging, REGISTRY)
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()

    def process(self, wrap: Wrap = unwrapped, grace_s: float = 30.0) -> Process:
        return Process(self.place, wrap, grace_s)

    async def write(self, *items: Item) -> None:
        await self.write_bytes((item, encode(item)) for item in items)

    async def write_bytes(self, records: Iterable[tuple[Item, bytes]]) -> None:
        """Each under its item's key, whatever the bytes are."""
        await self._producer.publish([Outgoing(_topic(item), _key(item), value) for item, value in records])

    async def records(self, topic: str) -> list[Record]:
        """Everything in it now."""
        reader = self.messaging.reader_client()
        await reader.start()
        try:
            partitions = await self.messaging.partitions_of(topic)
            ends: Mapping[Any, int] = await reader.end_offsets(partitions)
        finally:
            await reader.stop()
        found: list[Record] = []
        for at, end in ends.items():
            found += await read_range(self.messaging, topic, at.partition, (0, end), 100_000)
        return found

    async def dead_letters(self, topic: str) -> list[Record]:
        return await self.records(dead_letter_name(topic))

    async def events(self) -> list[CloudEvent]:
        return [decode_event(record.value or b"") for record in await self.records(WORKSPACE_EVENTS)]

    async def read(self) -> dict[str, list[CloudEvent]]:
        """Per conversation, as a reader has it (DESIGN 3.9). AssertionError at a hole or a contradiction."""
        read: dict[str, list[CloudEvent]] = {}
        for event in await self.events():
            if event.seq is None:
                continue
            seen = read.setdefault(event.subject, [])
            assert event.seq <= len(seen) + 1, f"a hole before {event.seq}"
            if event.seq == len(seen) + 1:
                seen.append(event)
            assert seen[event.seq - 1] == event
        return read

    async def until(self, kind: str, count: int = 1) -> list[CloudEvent]:
        """Events of a kind (`message.sent`), as soon as there are so many."""

        async def enough() -> list[CloudEvent]:
            found = [event for event in await self.events() if kind_of(event) == kind]
            return found if len(found) >= count else []

        return await eventually(enough, f"{count} times {kind}")

    def _fatal(self, error: BaseException) -> None:
        raise AssertionError("the test's own client has died") from error


def kind_of(event: CloudEvent) -> str:
    return event.type.removeprefix("relaydesk.").removesuffix(".v1")


def kinds_of(events: Sequence[CloudEvent]) -> list[str]:
    return [kind_of(event) for event in events]


def _topic(item: Item) -> str:
    return CONVERSATION_COMMANDS if isinstance(item, CommandRecord) else CHANNEL_INBOUND


def _key(item: Item) -> str:
    return document_key(item.workspace, item.conversation_id)
