import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from pymongo import MongoClient

from relaydesk.installation import installation_secrets
from services.dispatch.store.deliveries import MongoDeliveries
from shared.engines.addresses import Addresses
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.testing.adapter import Adapter
from shared.testing.engines import drop_topics
from tests.integration.dispatch.installation import SECRET, Installation, Place, Talk
from tests.integration.neighbours import Neighbours
from tests.unit.dispatch.memory import MemoryDeliveries

DeliveryStore = MemoryDeliveries | MongoDeliveries


@asynccontextmanager
async def installed(engines: Addresses, folder: Path) -> AsyncIterator[Installation]:
    place = Place(engines, f"t{uuid.uuid4().hex[:10]}", folder)
    async with Neighbours() as neighbours:
        installation = Installation(place, installation_secrets(folder), neighbours.url)
        await installation.start()
        yield installation
        await installation.stop()
    await drop_topics(engines.kafka, place.topic_prefix)
    with MongoClient[dict[str, object]](engines.mongo) as client:
        client.drop_database(f"{place.name}_dispatch")


@pytest_asyncio.fixture(scope="package")
async def installation(engines: Addresses, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """One for all tests here; they keep apart by channels and conversations."""
    async with installed(engines, tmp_path_factory.mktemp("dispatch")) as installation:
        yield installation


@pytest_asyncio.fixture
async def own_installation(engines: Addresses, tmp_path: Path) -> AsyncIterator[Installation]:
    """For tests with more than one instance: a stopped one keeps its partitions until its session ends."""
    async with installed(engines, tmp_path) as installation:
        yield installation


@pytest_asyncio.fixture
async def adapter() -> AsyncIterator[Adapter]:
    async with Adapter(SECRET) as adapter:
        yield adapter


@pytest_asyncio.fixture
async def channel(installation: Installation, adapter: Adapter) -> AsyncIterator[str]:
    """A channel of this test, with this test's adapter and bot. Gone afterwards, and what is under way with it."""
    ident = await installation.channel(adapter.url)
    yield ident
    await installation.channel(adapter.url, ident, deleted=True)


@pytest.fixture
def talk(installation: Installation, channel: str) -> Talk:
    return Talk(installation, channel)


@pytest_asyncio.fixture
async def mongo(engines: Addresses, mongo_prefix: str) -> AsyncIterator[Mongo]:
    mongo = Mongo(engines.mongo, f"{mongo_prefix}_dispatch", "motor", Metrics())
    yield mongo
    await mongo.stop()


@pytest_asyncio.fixture(params=["memory", "motor", "pymongo"])
async def store(request: pytest.FixtureRequest, engines: Addresses, mongo_prefix: str) -> AsyncIterator[DeliveryStore]:
    kind: Literal["memory", "motor", "pymongo"] = request.param
    if kind == "memory":
        yield MemoryDeliveries()
        return
    mongo = Mongo(engines.mongo, f"{mongo_prefix}_dispatch", kind, Metrics())
    deliveries = MongoDeliveries(mongo)
    await deliveries.start()
    yield deliveries
    await mongo.stop()
