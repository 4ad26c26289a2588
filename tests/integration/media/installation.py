"""The media service as it runs, on real engines, with as many replicas as a test likes; and its parts by themselves."""

import asyncio
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from relaydesk.installation import Secrets
from relaydesk.tokens import Person, mint
from services.media.app import build
from services.media.keeping import Keeper
from services.media.sandbox import Sandbox
from services.media.settings import MediaSettings
from services.media.store import MEDIA_DOCUMENTS, MediaStore
from services.media.sweeping import Sweeper
from services.media.uploading import Uploading
from services.media.working import Checking, Worker
from shared.contracts import topics
from shared.contracts.shape import Shape
from shared.contracts.wire import encode
from shared.engines.addresses import Addresses
from shared.runtime.auth import Principal
from shared.runtime.component import Component
from shared.runtime.health import Health
from shared.runtime.listening import Listener
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.outbox import Outbox
from shared.runtime.records import Outgoing, Record
from shared.runtime.s3 import MinioStore
from shared.runtime.service_client import ServiceClient
from shared.runtime.settings import KafkaSettings
from shared.runtime.topic_admin import apply
from shared.testing.api import Api
from shared.testing.eventually import eventually
from tests.integration.ingest.neighbours import Neighbours

ROOT = Path(__file__).parents[3]
NAMES = (topics.MEDIA_JOBS, topics.dead_letter_name(topics.MEDIA_JOBS), topics.MEDIA, topics.WORKSPACE_EVENTS)
TOPICS = {name: topics.TOPICS[name] for name in (*NAMES, topics.META)}
QUOTA = 1 << 20


@dataclass(frozen=True)
class Place:
    """Where an installation lives: engines, and names that nobody else uses."""

    engines: Addresses
    topic_prefix: str
    mongo_prefix: str
    folder: Path


class Calendar:
    """A clock that a test puts on; it goes on by itself, too."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass
class Parts:
    """What the service is made of, by a clock of the test's. Nothing runs by itself but what a test runs."""

    clock: Calendar
    mongo: Mongo
    objects: MinioStore
    store: MediaStore
    keeper: Keeper
    uploading: Uploading
    sweeper: Sweeper
    settings: MediaSettings

    @property
    def checking(self) -> Checking:
        return self._checking(None, None)

    def worker(self, objects: MinioStore | None = None, sandbox: Sandbox | None = None) -> Worker:
        """One job at a time; with another object store, or another way to check, if a test wants so."""
        return Worker(self.store, self._checking(objects, sandbox), self.clock, Metrics(), 1, "w")

    def _checking(self, objects: MinioStore | None, sandbox: Sandbox | None) -> Checking:
        box = sandbox or Sandbox({"PYTHONPATH": str(ROOT)})
        return Checking(objects or self.objects, self.keeper, box, self.clock)


class Installation:
    """`replica()` starts one more; `close()` stops them all. Tests keep apart by workspace."""

    def __init__(self, place: Place, secrets: Secrets, neighbours: Neighbours) -> None:
        self._place, self._secrets, self._neighbours = place, secrets, neighbours
        self._running = AsyncExitStack()
        settings = KafkaSettings(kafka=place.engines.kafka, topic_prefix=place.topic_prefix)
        self.messaging = Messaging(settings, "test", "1", Metrics(), Health().fatal)
        self.producer = self.messaging.producer()
        self._replicas = 0

    async def start(self) -> None:
        await apply(self.messaging, TOPICS)
        self._running.push_async_callback(self.producer.stop)
        await self.producer.start()

    async def close(self) -> None:
        await self._running.aclose()

    async def replica(self) -> str:
        """-> its base URL."""
        self._replicas += 1
        service = build(self.settings(str(self._replicas)))
        for component in service.components:
            self._running.push_async_callback(component.stop)
            await component.start()
        assert service.http is not None
        listener = Listener(service.http, "127.0.0.1", 0)
        self._running.push_async_callback(listener.close, 1.0)
        return f"http://127.0.0.1:{await listener.open()}"

    @asynccontextmanager
    async def parts(self, database: str) -> AsyncIterator[Parts]:
        """Of a service with a database and a bucket prefix of its own (the workspaces')."""
        clock, metrics = Calendar(), Metrics()
        mongo = Mongo(self._place.engines.mongo, f"{self._place.mongo_prefix}_{database}", "pymongo", metrics)
        objects = MinioStore(self.settings("parts"))
        store = MediaStore(mongo, Outbox(mongo.db, self.producer, [MEDIA_DOCUMENTS], metrics), QUOTA)
        keeper = Keeper(mongo, objects, store)
        async with AsyncExitStack() as stack:
            components: list[Component] = [mongo, objects, store, keeper]
            for component in components:
                stack.push_async_callback(component.stop)
                await component.start()
            uploading = Uploading(store, objects, clock, ServiceClient(self._neighbours.url, "gateway"))
            sweeper = Sweeper(store, objects, keeper, clock, metrics)
            yield Parts(clock, mongo, objects, store, keeper, uploading, sweeper, self.settings("parts"))

    async def member(self, base: str, role: str, workspace: str) -> Api:
        token = mint(self._secrets.jwt_private, Person(f"{role}-1", role.title(), role, workspace))
        return await self._running.enter_async_context(Api(base, token))

    def conversation(self, workspace: str) -> str:
        """A new one, that the gateway knows."""
        ident = str(uuid.uuid4())
        self._neighbours.conversations[ident] = workspace
        return ident

    async def publish(self, topic: str, key: str, record: Shape) -> None:
        await self.producer.publish([Outgoing(topic, key, encode(record))])

    async def read(self, topic: str) -> list[Record]:
        """All there is in a topic."""
        found: list[Record] = []
        tail = self.messaging.tail(topic, found.extend)
        await tail.start()
        await tail.wait_caught_up()
        await tail.stop()
        return found

    def settings(self, instance: str) -> MediaSettings:
        place = self._place
        return MediaSettings.model_validate(
            {
                "kafka": place.engines.kafka,
                "mongo": place.engines.mongo,
                "s3": place.engines.s3,
                "s3_access_key": place.engines.s3_keys.access,
                "s3_secret_key": place.engines.s3_keys.secret,
                "topic_prefix": place.topic_prefix,
                "mongo_prefix": place.mongo_prefix,
                "instance": instance,
                "jwt_keys": self._secrets.jwt_public,
                "gateway_url": self._neighbours.url,
                "media_quota": QUOTA,
            }
        )


def manager_of(workspace: str) -> Principal:
    return Principal(workspace, "manager-1", "manager", "Manager", datetime.now(UTC) + timedelta(hours=1), "token")


class Got:
    """What the object store answered."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.status, self.body, self.headers = status, body, headers


async def fetch(url: str, method: str = "GET", data: bytes | None = None) -> Got:
    return await asyncio.to_thread(_fetch, url, method, data)


def _fetch(url: str, method: str, data: bytes | None) -> Got:
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Got(answer.status, answer.read(), headers)
    except urllib.error.HTTPError as error:
        with error:
            return Got(error.code, error.read(), {})


async def announced(manager: Api, content: bytes, name: str = "picture.png", **fields: Any) -> dict[str, Any]:
    body = {"name": name, "content_type": "image/png", "size": len(content), **fields}
    made: dict[str, Any] = await manager.ok("POST", "/v1/files", body)
    return made


async def uploaded(manager: Api, content: bytes, name: str = "picture.png", **fields: Any) -> dict[str, Any]:
    """As a browser does it: announced, sent to the store, completed."""
    made = await announced(manager, content, name, **fields)
    assert (await fetch(made["upload"]["url"], made["upload"]["method"], content)).status == 200
    assert (await manager.call("POST", f"/v1/files/{made['id']}/complete")).status == 202
    return made


async def settled(api: Api, made: dict[str, Any]) -> dict[str, Any]:
    async def state() -> dict[str, Any] | None:
        found = await api.ok("GET", f"/v1/files/{made['id']}")
        return found if found["state"] in ("ready", "rejected") else None

    return await eventually(state, "ready or rejected")


def unique() -> str:
    return f"w-{uuid.uuid4().hex[:12]}"
