"""The media service as it runs, on real engines, with as many replicas as a test likes; and its parts by themselves."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from relaydesk.installation import Secrets
from services.media.app import TOPICS, build
from services.media.checking import Checking, Uploads
from services.media.erasing import Erasing
from services.media.fetching import Fetches
from services.media.handlers import MediaJobs
from services.media.keeping import Keeper
from services.media.sandbox import Sandbox
from services.media.settings import MediaSettings
from services.media.store import MEDIA_DOCUMENTS, MediaStore
from services.media.sweeping import Sweeper
from services.media.uploading import Uploading
from services.media.working import Crew, Worker
from shared.runtime.auth import Principal
from shared.runtime.component import Component, Service
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.outbound_download import Downloads
from shared.runtime.outbox import Outbox
from shared.runtime.s3 import MinioStore
from shared.runtime.service_client import ServiceClient
from tests.integration.neighbours import Neighbours
from tests.integration.replicas import Place, Replicas

ROOT = Path(__file__).parents[3]
QUOTA = 1 << 20


class Calendar:
    """A clock that stands still between two moves; each makes up for the time that has passed, too."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    @property
    def ahead(self) -> timedelta:
        """Of the real time."""
        return self._ahead

    @ahead.setter
    def ahead(self, ahead: timedelta) -> None:
        self._ahead, self._now = ahead, datetime.now(UTC) + ahead

    def now(self) -> datetime:
        return self._now

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
    erasing: Erasing
    uploading: Uploading
    sweeper: Sweeper
    metrics: Metrics
    settings: MediaSettings

    def uploads(self, objects: MinioStore | None = None, sandbox: Sandbox | None = None) -> Uploads:
        return Uploads(objects or self.objects, self._checking(sandbox))

    def worker(self, objects: MinioStore | None = None, sandbox: Sandbox | None = None) -> Worker:
        """One job at a time; with another object store, or another way to check, if a test wants so."""
        work = self.uploads(objects, sandbox)
        return Worker("uploads", self.store, work, self.clock, Metrics(), Crew("w", 1, 1))

    def jobs(self) -> MediaJobs:
        return MediaJobs(self.store, self.worker(), self.worker(), self.erasing, self.clock)

    def fetcher(self, downloads: Downloads, at_once: int, share: int) -> Worker:
        work = Fetches(downloads, self._checking(None), self.clock, 1)
        return Worker("fetches", self.store, work, self.clock, Metrics(), Crew("f", at_once, share))

    def _checking(self, sandbox: Sandbox | None) -> Checking:
        return Checking(self.keeper, sandbox or Sandbox({"PYTHONPATH": str(ROOT)}, wall_s=300), self.clock)


class Gateway(Neighbours):
    """It says how far a conversation is, too: as `seqs` has it, else 1."""

    def __init__(self) -> None:
        super().__init__()
        self.seqs: dict[str, int] = {}

    async def _conversation(self, request: web.Request) -> web.Response:
        answer, ident = await super()._conversation(request), request.match_info["conversation_id"]
        return answer if answer.status != 200 else web.json_response({"id": ident, "seq": self.seqs.get(ident, 1)})


class Installation(Replicas):
    topics = TOPICS

    def __init__(self, place: Place, secrets: Secrets, neighbours: Neighbours) -> None:
        super().__init__(place, secrets, neighbours)
        self.gateway = Gateway()

    async def start(self) -> None:
        await self._running.enter_async_context(self.gateway)
        await super().start()

    def settings(self, instance: str) -> dict[str, Any]:
        return super().settings(instance) | {"gateway_url": self.gateway.url}

    def build(self, settings: dict[str, Any]) -> Service:
        return build(self.media_settings(settings))

    def media_settings(self, settings: dict[str, Any]) -> MediaSettings:
        engines = self.place.engines
        own = {
            "s3": engines.s3,
            "s3_access_key": engines.s3_keys.access,
            "s3_secret_key": engines.s3_keys.secret,
            "media_quota": QUOTA,
            "allow_private_urls": True,
        }
        return MediaSettings.model_validate(settings | own)

    @asynccontextmanager
    async def parts(self, database: str) -> AsyncIterator[Parts]:
        """Of a service with a database and a bucket prefix of its own (the workspaces')."""
        clock, metrics = Calendar(), Metrics()
        mongo = Mongo(self.place.engines.mongo, f"{self.place.name}_{database}", "pymongo", metrics)
        objects = MinioStore(self.media_settings(self.settings("parts")))
        store = MediaStore(mongo, Outbox(mongo.db, self.producer, [MEDIA_DOCUMENTS], metrics), QUOTA)
        keeper = Keeper(mongo, objects, store)
        erasing = Erasing(mongo, store, keeper, clock)
        async with AsyncExitStack() as stack:
            gateway = ServiceClient(self.gateway.url, "gateway")
            components: list[Component] = [mongo, objects, store, keeper, erasing, gateway]
            for component in components:
                stack.push_async_callback(component.stop)
                await component.start()
            uploading = Uploading(store, objects, clock, gateway, erasing)
            sweeper = Sweeper(store, objects, keeper, erasing, clock, metrics)
            settings = self.media_settings(self.settings("parts"))
            yield Parts(clock, mongo, objects, store, keeper, erasing, uploading, sweeper, metrics, settings)

    def conversation(self, workspace: str, seq: int = 1) -> str:
        """A new one, that the gateway knows."""
        ident = str(uuid.uuid4())
        self.gateway.conversations[ident] = workspace
        self.gateway.seqs[ident] = seq
        return ident


@asynccontextmanager
async def emptied(parts: Parts) -> AsyncIterator[None]:
    """Nothing is left in its database afterwards."""
    yield
    for name in await parts.mongo.db.list_collection_names():
        await parts.mongo.db.drop_collection(name)


def manager_of(workspace: str) -> Principal:
    return Principal(workspace, "manager-1", "manager", "Manager", datetime.now(UTC) + timedelta(hours=1), "token")


def unique() -> str:
    return f"w-{uuid.uuid4().hex[:12]}"
