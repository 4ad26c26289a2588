"""Ingest as it runs, on real engines, with as many replicas as a test likes."""

import dataclasses
from contextlib import AsyncExitStack
from pathlib import Path

from pymongo import AsyncMongoClient

from relaydesk.installation import Secrets
from relaydesk.tokens import Person, mint
from services.ingest.app import build
from services.ingest.settings import IngestSettings
from shared.contracts import topics
from shared.engines.addresses import Addresses
from shared.runtime.health import Health
from shared.runtime.listening import Listener
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.records import Record
from shared.runtime.settings import KafkaSettings
from shared.runtime.topic_admin import apply
from shared.testing.api import Api, Channel
from tests.integration.ingest.neighbours import Neighbours

TOPICS = {name: topics.TOPICS[name] for name in (topics.CHANNEL_INBOUND, topics.CHANNELS, topics.META)}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an installation lives: engines, and names that nobody else uses."""

    engines: Addresses
    topic_prefix: str
    mongo_prefix: str
    folder: Path


class Installation:
    """`replica()` starts one more ingest; `close()` stops them all."""

    def __init__(self, place: Place, secrets: Secrets, neighbours: Neighbours) -> None:
        self.place = place
        self.secrets = secrets
        self.neighbours = neighbours
        self._running = AsyncExitStack()
        settings = KafkaSettings(kafka=place.engines.kafka, topic_prefix=place.topic_prefix)
        self.messaging = Messaging(settings, "test", "1", Metrics(), Health().fatal)
        self._mongo: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(place.engines.mongo)
        self.db = self._mongo[f"{place.mongo_prefix}_ingest"]

    async def close(self) -> None:
        await self._running.aclose()
        await self._mongo.close()

    async def make_topics(self) -> None:
        await apply(self.messaging, TOPICS)

    async def replica(self) -> str:
        """-> its base URL."""
        service = build(self._settings())
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

    async def adapter(self, base: str, channel: str, secret: str) -> Channel:
        return Channel(await self._running.enter_async_context(Api(base, None)), channel, secret)

    async def read(self, topic: str) -> list[Record]:
        """All there is in a topic."""
        found: list[Record] = []
        tail = self.messaging.tail(topic, found.extend)
        await tail.start()
        await tail.wait_caught_up()
        await tail.stop()
        return found

    def _settings(self) -> IngestSettings:
        place, secrets = self.place, self.secrets
        return IngestSettings.model_validate(
            {
                "kafka": place.engines.kafka,
                "mongo": place.engines.mongo,
                "topic_prefix": place.topic_prefix,
                "mongo_prefix": place.mongo_prefix,
                "id_namespace": secrets.id_namespace,
                "secrets_key": secrets.secrets_key,
                "jwt_keys": secrets.jwt_public,
                "gateway_url": self.neighbours.url,
                "dispatch_url": self.neighbours.url,
                "ingest_channel_cache_s": 0.5,
                "allow_private_urls": True,
            }
        )
