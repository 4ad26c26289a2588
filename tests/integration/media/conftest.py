import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pymongo import MongoClient

from relaydesk.installation import installation_secrets
from shared.engines.addresses import Addresses
from shared.testing.api import Api
from shared.testing.engines import drop_topics
from tests.integration.ingest.neighbours import Neighbours
from tests.integration.media.installation import Installation, Place


@pytest_asyncio.fixture(scope="package")
async def installation(engines: Addresses, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """One for all tests here; they keep apart by workspace."""
    name, folder = f"t{uuid.uuid4().hex[:10]}", tmp_path_factory.mktemp("media")
    async with Neighbours() as neighbours:
        place = Place(engines, f"{name}.", name, folder)
        made = Installation(place, installation_secrets(folder), neighbours)
        await made.start()
        yield made
        await made.close()
    await drop_topics(engines.kafka, place.topic_prefix)
    with MongoClient[dict[str, object]](engines.mongo) as client:
        client.drop_database(f"{name}_media")


@pytest_asyncio.fixture(scope="package")
async def base(installation: Installation) -> str:
    return await installation.replica()


@pytest_asyncio.fixture
async def manager(installation: Installation, base: str, workspace: str) -> Api:
    return await installation.member(base, "manager", workspace)


@pytest_asyncio.fixture
async def agent(installation: Installation, base: str, workspace: str) -> Api:
    return await installation.member(base, "agent", workspace)
