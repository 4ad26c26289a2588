"""One running system for all end-to-end tests; every test brings its own contacts."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from shared.testing.adapter import Adapter
from shared.testing.api import Api, Channel, Patient
from shared.testing.follower import Follower
from shared.testing.system import System, running


def pytest_itemcollected(item: pytest.Item) -> None:
    """Schemathesis names each operation's test, but gives all of them one id: of those, xdist runs one."""
    if not item.nodeid.endswith(item.name) and item.parent is not None:
        item._id = type(item.id).parse(f"{item.parent.nodeid}::{item.name}")


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("relaydesk"), "--split") as started:
        yield started


@pytest_asyncio.fixture
async def agent(system: System) -> AsyncIterator[Api]:
    async with Patient(system.info["api"], system.info["tokens"]["agent"]) as api:
        yield api


@pytest_asyncio.fixture
async def agent2(system: System) -> AsyncIterator[Api]:
    async with Patient(system.info["api"], system.info["tokens"]["agent2"]) as api:
        yield api


@pytest_asyncio.fixture
async def owner(system: System) -> AsyncIterator[Api]:
    async with Patient(system.info["api"], system.info["tokens"]["owner"]) as api:
        yield api


@pytest_asyncio.fixture
async def stranger(system: System) -> AsyncIterator[Api]:
    async with Patient(system.info["api"], system.info["tokens"]["stranger"]) as api:
        yield api


@pytest_asyncio.fixture
async def public(system: System) -> AsyncIterator[Api]:
    async with Patient(system.info["api"], None) as api:
        yield api


@pytest.fixture
def channel(system: System, public: Api) -> Channel:
    info = system.info["channel"]
    return Channel(public, info["id"], info["secret"])


@pytest_asyncio.fixture
async def stream(system: System, agent: Api) -> AsyncIterator[Follower]:
    async with Follower(agent, system.info["stream"]) as follower:
        yield follower


@pytest_asyncio.fixture
async def adapter(system: System, owner: Api) -> AsyncIterator[Adapter]:
    """The plain channel's adapter, already known to dispatch."""
    info = system.info["channel"]
    async with Adapter(secret=info["secret"]) as listening:
        await owner.ok("PATCH", f"/v1/channels/{info['id']}", {"settings": {"outbound_url": listening.url}})
        yield listening
