import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pymongo import MongoClient

from relaydesk.installation import installation_secrets
from shared.engines.addresses import Addresses
from shared.testing.api import Api
from shared.testing.engines import drop_topics
from tests.integration.ingest.installation import Installation, Place
from tests.integration.ingest.neighbours import Neighbours


@pytest_asyncio.fixture(scope="package")
async def installation(engines: Addresses, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """One for all tests here; they keep apart by workspace."""
    name = f"t{uuid.uuid4().hex[:10]}"
    place = Place(engines, f"{name}.", name, tmp_path_factory.mktemp("ingest"))
    async with Neighbours() as neighbours:
        installed = Installation(place, installation_secrets(place.folder), neighbours)
        await installed.make_topics()
        yield installed
        await installed.close()
    await drop_topics(engines.kafka, place.topic_prefix)
    with MongoClient[dict[str, object]](engines.mongo) as client:
        client.drop_database(f"{name}_ingest")


@pytest_asyncio.fixture(scope="package")
async def base(installation: Installation) -> str:
    """The base URL of the first replica."""
    return await installation.replica()


@pytest_asyncio.fixture
async def owner(installation: Installation, base: str, workspace: str) -> Api:
    return await installation.member(base, "owner", workspace)


@pytest_asyncio.fixture
async def agent(installation: Installation, base: str, workspace: str) -> Api:
    return await installation.member(base, "agent", workspace)
