"""The snippets service as it runs, on real engines, with as many replicas as a test likes."""

import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from relaydesk.installation import Secrets
from relaydesk.tokens import Person, mint
from services.snippets.app import build
from services.snippets.settings import SnippetsSettings
from services.snippets.shelf import Snippet, drafted
from services.snippets.store import _document
from shared.contracts import topics
from shared.contracts.ids import contact_id, document_key
from shared.contracts.outbound import ContactRecord
from shared.contracts.resources import Contact
from shared.contracts.wire import encode
from shared.engines.addresses import Addresses
from shared.runtime.health import Health
from shared.runtime.listening import Listener
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.records import Outgoing, Record
from shared.runtime.settings import KafkaSettings
from shared.runtime.topic_admin import apply
from shared.testing.api import Api
from tests.integration.ingest.neighbours import Neighbours

NAMESPACE = uuid.uuid5(uuid.UUID(int=0), "tests")
CONTACTS_DLQ = topics.dead_letter_name(topics.CONTACTS)
TOPICS = {name: topics.TOPICS[name] for name in (topics.CONTACTS, CONTACTS_DLQ, topics.WORKSPACE_EVENTS, topics.META)}


@dataclass(frozen=True)
class Place:
    """Where an installation lives: engines, and names that nobody else uses."""

    engines: Addresses
    topic_prefix: str
    mongo_prefix: str
    folder: Path


class Installation:
    """`replica()` starts one more; `close()` stops them all. Tests keep apart by workspace."""

    def __init__(self, place: Place, secrets: Secrets, neighbours: Neighbours) -> None:
        self._place, self._secrets, self._neighbours = place, secrets, neighbours
        self._running = AsyncExitStack()
        settings = KafkaSettings(kafka=place.engines.kafka, topic_prefix=place.topic_prefix)
        self.messaging = Messaging(settings, "test", "1", Metrics(), Health().fatal)
        self._producer = self.messaging.producer()
        self._replicas = 0

    async def start(self) -> None:
        await apply(self.messaging, TOPICS)
        self._running.push_async_callback(self._producer.stop)
        await self._producer.start()

    async def close(self) -> None:
        await self._running.aclose()

    async def replica(self) -> str:
        """-> its base URL."""
        self._replicas += 1
        service = build(self._settings(str(self._replicas)))
        for component in service.components:
            self._running.push_async_callback(component.stop)
            await component.start()
        assert service.http is not None
        listener = Listener(service.http, "127.0.0.1", 0)
        self._running.push_async_callback(listener.close, 1.0)
        return f"http://127.0.0.1:{await listener.open()}"

    async def member(self, base: str, role: str, workspace: str) -> Api:
        return await self._running.enter_async_context(Api(base, self.token(role, workspace)))

    def token(self, role: str, workspace: str) -> str:
        return mint(self._secrets.jwt_private, Person(f"{role}-1", role.title(), role, workspace))

    async def knows(self, workspace: str, **values: Any) -> str:
        """Publishes a contact as routing does; -> its id."""
        external = values.pop("external_id", uuid.uuid4().hex)
        ident = contact_id(NAMESPACE, workspace, "channel", external)
        contact = Contact(
            id=ident, channel_id="channel", external_id=external, identities=(), **{"version": 1, **values}
        )
        row = ContactRecord(workspace=workspace, conversation_id=str(uuid.uuid4()), contact=contact)
        await self.publish(topics.CONTACTS, document_key(workspace, ident), encode(row))
        return ident

    async def fill(self, workspace: str, count: int) -> None:
        """So many snippets, straight into the database, as `SnippetStore.add` would have left them."""
        mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(self._place.engines.mongo)
        db = mongo[f"{self._place.mongo_prefix}_snippets"]
        rows = [_row(workspace, f"filled {number}") for number in range(count)]
        await db.snippets.insert_many(rows)
        await db.shelves.insert_one({"_id": workspace, "count": count, "revision": count})
        await mongo.close()

    async def publish(self, topic: str, key: str, value: bytes | None) -> None:
        await self._producer.publish([Outgoing(topic, key, value)])

    async def read(self, topic: str) -> list[Record]:
        """All there is in a topic."""
        found: list[Record] = []
        tail = self.messaging.tail(topic, found.extend)
        await tail.start()
        await tail.wait_caught_up()
        await tail.stop()
        return found

    def _settings(self, instance: str) -> SnippetsSettings:
        place = self._place
        return SnippetsSettings.model_validate(
            {
                "kafka": place.engines.kafka,
                "mongo": place.engines.mongo,
                "topic_prefix": place.topic_prefix,
                "mongo_prefix": place.mongo_prefix,
                "instance": instance,
                "jwt_keys": self._secrets.jwt_public,
                "gateway_url": self._neighbours.url,
            }
        )


def _row(workspace: str, name: str) -> dict[str, Any]:
    draft = drafted(name, "text", None, "block")
    return _document(Snippet(workspace, str(uuid.uuid4()), draft, 1, 0, "2026-01-31T12:00:00.000Z"))
