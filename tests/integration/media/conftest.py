import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from shared.engines.addresses import Addresses
from shared.testing.api import Api
from tests.integration.media.installation import Installation, Parts, emptied
from tests.integration.media.story import Story
from tests.integration.replicas import installed
from tests.media_checks import of_equal_priority


@pytest.fixture(scope="session", autouse=True)
def _checks_have_their_turn() -> Iterator[None]:
    with of_equal_priority():
        yield


@pytest_asyncio.fixture(scope="package")
async def installation(engines: Addresses, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """One for all tests here; they keep apart by workspace."""
    async with installed(Installation, engines, tmp_path_factory.mktemp("media")) as made:
        yield made


@pytest_asyncio.fixture
async def parts(installation: Installation) -> AsyncIterator[Parts]:
    """The service's parts on a database of their own, connected to nothing that runs."""
    async with installation.parts(uuid.uuid4().hex[:8]) as parts, emptied(parts):
        yield parts


@pytest.fixture
def story(installation: Installation, parts: Parts) -> Story:
    return Story(installation, parts)


@pytest_asyncio.fixture(scope="package")
async def base(installation: Installation) -> str:
    return await installation.replica()


@pytest_asyncio.fixture
async def manager(installation: Installation, base: str, workspace: str) -> Api:
    return await installation.member(base, "manager", workspace)


@pytest_asyncio.fixture
async def agent(installation: Installation, base: str, workspace: str) -> Api:
    return await installation.member(base, "agent", workspace)
