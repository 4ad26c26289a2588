"""A service as it runs, on real engines, with as many replicas as a test likes."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pymongo import MongoClient

from relaydesk.installation import Secrets, installation_secrets
from relaydesk.tokens import Person, mint
from shared.contracts import topics
from shared.engines.addresses import Addresses
from shared.runtime.component import Service
from shared.runtime.health import Health
from shared.runtime.listening import Listener
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.records import Outgoing, Record
from shared.runtime.settings import KafkaSettings
from shared.runtime.topic_admin import apply
from shared.testing.api import Api
from shared.testing.engines import drop_topics
from tests.integration.neighbours import Neighbours


@dataclass(frozen=True)
class Place:
    """Where an installation lives: engines, and names that nobody else uses."""

    engines: Addresses
    name: str
    folder: Path

    @property
    def settings(self) -> dict[str, Any]:
        """What every service wants to know of it."""
        return {
            "kafka": self.engines.kafka,
            "mongo": self.engines.mongo,
            "topic_prefix": f"{self.name}.",
            "mongo_prefix": self.name,
        }


class Replicas:
    """`replica()` starts one more; `close()` stops them all. Tests keep apart by workspace."""

    topics: tuple[str, ...] = ()

    def __init__(self, place: Place, secrets: Secrets, neighbours: Neighbours) -> None:
        self.place, self.secrets, self.neighbours = place, secrets, neighbours
        self._running = AsyncExitStack()
        settings = KafkaSettings(kafka=place.engines.kafka, topic_prefix=f"{place.name}.")
        self.messaging = Messaging(settings, "test", "1", Metrics(), Health().fatal)
        self.producer = self.messaging.producer()
        self._count = 0

    def build(self, settings: dict[str, Any]) -> Service:
        raise NotImplementedError

    async def start(self) -> None:
        await apply(self.messaging, {name: topics.TOPICS[name] for name in (*self.topics, topics.META)})
        self._running.push_async_callback(self.producer.stop)
        await self.producer.start()

    async def close(self) -> None:
        await self._running.aclose()

    async def replica(self, **changes: object) -> str:
        """With these settings changed; -> its base URL."""
        self._count += 1
        service = self.build(self.settings(str(self._count)) | changes)
        for component in service.components:
            self._running.push_async_callback(component.stop)
            await component.start()
        assert service.http is not None
        listener = Listener(service.http, "127.0.0.1", 0)
        self._running.push_async_callback(listener.close, 1.0)
        return f"http://127.0.0.1:{await listener.open()}"

    def token(self, role: str, workspace: str) -> str:
        return mint(self.secrets.jwt_private, Person(f"{role}-1", role.title(), role, workspace))

    async def member(self, base: str, role: str, workspace: str) -> Api:
        """Closed with the installation."""
        return await self._running.enter_async_context(Api(base, self.token(role, workspace)))

    async def publish(self, topic: str, key: str, value: bytes | None) -> None:
        await self.producer.publish([Outgoing(topic, key, value)])

    async def read(self, topic: str) -> list[Record]:
        """All there is in a topic."""
        found: list[Record] = []
        tail = self.messaging.tail(topic, found.extend)
        await tail.start()
        await tail.wait_caught_up()
        await tail.stop()
        return found

    def settings(self, instance: str) -> dict[str, Any]:
        own = {"instance": instance, "jwt_keys": self.secrets.jwt_public, "gateway_url": self.neighbours.url}
        return {**self.place.settings, **own}


R = TypeVar("R", bound=Replicas)


@asynccontextmanager
async def installed(kind: type[R], engines: Addresses, folder: Path) -> AsyncIterator[R]:
    """With neighbours; what it made is dropped afterwards."""
    place = Place(engines, f"t{uuid.uuid4().hex[:10]}", folder)
    async with Neighbours() as neighbours:
        made = kind(place, installation_secrets(folder), neighbours)
        await made.start()
        yield made
        await made.close()
    await drop_topics(engines.kafka, f"{place.name}.")
    with MongoClient[dict[str, object]](engines.mongo) as client:
        for name in client.list_database_names():
            if name.startswith(f"{place.name}_"):
                client.drop_database(name)
