"""A system of its own that the fault tests may hurt."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from shared.testing.api import Api, Channel, Patient
from shared.testing.system import System, running


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("faults"), "--split") as started:
        yield started


@pytest_asyncio.fixture
async def agent(system: System) -> AsyncIterator[Api]:
    async with Patient(system.info["api"], system.info["tokens"]["agent"]) as api:
        yield api


@pytest_asyncio.fixture
async def channel(system: System) -> AsyncIterator[Channel]:
    async with Patient(system.info["api"], None) as public:
        yield Channel(public, system.info["channel"]["id"], system.info["channel"]["secret"])
