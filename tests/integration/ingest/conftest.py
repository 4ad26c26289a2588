from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from shared.engines.addresses import Addresses
from shared.testing.api import Api
from tests.integration.ingest.installation import Installation
from tests.integration.replicas import installed


@pytest_asyncio.fixture(scope="package")
async def installation(engines: Addresses, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """One for all tests here; they keep apart by workspace."""
    async with installed(Installation, engines, tmp_path_factory.mktemp("ingest")) as made:
        yield made


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
