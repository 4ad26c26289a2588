import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from pymongo import MongoClient

from relaydesk.installation import installation_secrets
from services.gateway import commanding, marking, reading
from services.gateway.store.indexes import Indexes
from shared.engines.addresses import Addresses
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Driver, Mongo
from shared.testing.api import Api
from shared.testing.engines import drop_topics
from tests.conftest import GRANTED_S
from tests.integration.gateway.installation import Installation, Place, Running, known
from tests.integration.gateway.neighbours import Neighbours

PAGE = "<!doctype html><title>console</title>"


@pytest.fixture(scope="package", autouse=True)
def patient() -> Iterator[None]:
    """A busy machine is no reason for 202 or `LAGGING`."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (commanding, marking, reading):
            patch.setattr(module, "WAIT_S", GRANTED_S)
        yield


@pytest_asyncio.fixture(params=["motor", "pymongo"])
async def mongo(request: pytest.FixtureRequest, engines: Addresses, mongo_prefix: str) -> AsyncIterator[Mongo]:
    """An empty database of the gateway's, with its indexes, through either driver."""
    driver: Driver = request.param
    database = Mongo(engines.mongo, f"{mongo_prefix}_gateway", driver, Metrics())
    await database.start()
    await Indexes(database).start()
    yield database
    await database.stop()


@pytest_asyncio.fixture(scope="package")
async def neighbours() -> AsyncIterator[Neighbours]:
    async with Neighbours() as service:
        yield service


@pytest_asyncio.fixture(scope="package")
async def installation(
    engines: Addresses, neighbours: Neighbours, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """One for all tests here, routing running; they keep apart by workspace."""
    place = Place(engines, f"t{uuid.uuid4().hex[:10]}", tmp_path_factory.mktemp("gateway"))
    pages = place.folder / "console"
    (pages / "scripts").mkdir(parents=True)
    (pages / "index.html").write_text(PAGE)
    (pages / "scripts" / "main.js").write_text("export {}")
    (pages / ".secret").write_text("no")
    installed = Installation(place, installation_secrets(place.folder / "data"), neighbours.url)
    await installed.start()
    await installed.start_routing()
    yield installed
    await installed.close()
    await drop_topics(engines.kafka, f"{place.name}.")
    with MongoClient[dict[str, object]](engines.mongo) as client:
        for service in ("gateway", "gateway_new", "routing"):
            client.drop_database(f"{place.name}_{service}")


@pytest_asyncio.fixture(scope="package")
async def replica(installation: Installation) -> Running:
    """The first replica of the gateway."""
    return await installation.gateway()


@pytest_asyncio.fixture(scope="package")
async def second(installation: Installation, replica: Running) -> Running:
    """Another replica of the gateway."""
    return await installation.gateway()


@pytest_asyncio.fixture
async def agent(installation: Installation, replica: Running, workspace: str) -> Api:
    return await installation.member(replica.base, "grace", workspace)


@pytest_asyncio.fixture
async def other(installation: Installation, replica: Running, workspace: str) -> Api:
    """A colleague of the agent's."""
    api = await installation.member(replica.base, "linus", workspace)
    await api.ok("GET", "/v1/me")
    return api


@pytest_asyncio.fixture
async def owner(installation: Installation, replica: Running, workspace: str) -> Api:
    return await installation.member(replica.base, "olivia", workspace, "owner")


@pytest_asyncio.fixture
async def stranger(installation: Installation, replica: Running) -> Api:
    """An agent of another workspace, by the same name."""
    return await installation.member(replica.base, "grace", f"w-{uuid.uuid4().hex[:12]}")


@pytest_asyncio.fixture
async def conversation(installation: Installation, agent: Api, workspace: str) -> str:
    """Where a customer has said hello: three events."""
    ident = await installation.says(workspace, "customer-1", "hello")
    await known(agent, ident, 3)
    return ident
