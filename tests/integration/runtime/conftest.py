"""Topics, messaging and members of groups for the tests of the runtime."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from shared.engines.addresses import Addresses
from shared.engines.kafka import Kafka
from shared.engines.local import CACHE
from shared.engines.ports import free_ports
from shared.runtime import messaging, topic_admin
from shared.runtime.settings import KafkaSettings
from tests.integration.runtime.worlds import REGISTRY, BrokerWorld, TwinWorld, World

T = TypeVar("T", bound=Any)


class Running:
    """Starts components and stops them, the last one first, when the test is over."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    async def start(self, component: T) -> T:
        self._stack.push_async_callback(component.stop)
        await component.start()
        return component

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture(scope="module", autouse=True)
def _patient_pings() -> Iterator[None]:
    """A broker that answers is in time, however busy the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messaging, "PING_TIMEOUT_MS", 60_000)
        yield


@pytest_asyncio.fixture
async def running() -> AsyncIterator[Running]:
    started = Running()
    yield started
    await started.close()


@pytest.fixture
def bare(engines: Addresses, topic_prefix: str) -> BrokerWorld:
    """The broker without any topic of ours."""
    return BrokerWorld(KafkaSettings(kafka=engines.kafka, topic_prefix=topic_prefix))


@pytest_asyncio.fixture
async def kafka(bare: BrokerWorld) -> BrokerWorld:
    """The broker with this test's own topics."""
    await topic_admin.apply(bare.messaging, REGISTRY)
    return bare


@pytest.fixture(params=["memory", "broker"])
def world(request: pytest.FixtureRequest) -> World:
    """Each of the two, one after the other; only one of them starts engines."""
    return TwinWorld() if request.param == "memory" else request.getfixturevalue("kafka")


@pytest.fixture(scope="module")
def _kafka_to_hurt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    folder: Path = tmp_path_factory.mktemp("kafka")
    port, controller_port = free_ports(2)
    broker = Kafka(folder, folder / "logs", port, controller_port, CACHE)
    broker.start()
    broker.wait_ready()
    yield broker
    broker.stop()


@pytest_asyncio.fixture
async def own_kafka(_kafka_to_hurt: Kafka) -> AsyncIterator[Kafka]:
    """A broker to be stopped and killed; runs again after the test."""
    yield _kafka_to_hurt
    if not _kafka_to_hurt.running:
        _kafka_to_hurt.start()
        _kafka_to_hurt.wait_ready()
