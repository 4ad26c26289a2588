"""Topics that were made while a broker was away have too few copies, and it is said until a person has made more."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.engines.kafka import Kafka
from shared.engines.local import CACHE
from shared.engines.ports import free_ports
from shared.runtime import topic_admin
from shared.runtime.settings import KafkaSettings
from shared.testing.eventually import eventually
from shared.testing.second_broker import SecondBroker
from tests.integration.runtime.worlds import COMMANDS, INBOUND, META, REGISTRY, BrokerWorld


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[tuple[Kafka, Kafka]]:
    """The first one runs."""
    port, controller_port = free_ports(2)
    first = Kafka(tmp_path / "1", tmp_path / "1" / "logs", port, controller_port, CACHE)
    second = SecondBroker(first, tmp_path / "2", CACHE)
    first.start()
    first.wait_ready()
    yield first, second
    second.stop()
    first.stop()


async def test_what_was_made_by_too_few_brokers_is_named_until_it_has_more_copies(
    brokers: tuple[Kafka, Kafka],
) -> None:
    first, second = brokers
    world = BrokerWorld(KafkaSettings(kafka=first.url, topic_prefix=f"t{uuid.uuid4().hex}."))

    alone = await apply(world, META)
    assert alone.left == ()
    assert await check(world, META) == []

    await join(world, second)
    both = await apply(world, META, INBOUND)
    assert (both.created, both.configured) == ((INBOUND,), ())
    assert both.left == (too_few(META), made_by(2))
    assert await check(world, META, INBOUND) == [too_few(META)]

    await leave(world, second)
    one = await apply(world, META, INBOUND, COMMANDS)
    assert (one.created, one.configured) == ((COMMANDS,), ())
    assert one.left == (too_few(META), made_by(1))
    assert await check(world, META, INBOUND, COMMANDS) == [too_few(META), too_few(COMMANDS)]

    await join(world, second)
    again = await apply(world, META, INBOUND, COMMANDS)
    assert again == topic_admin.Applied(left=(too_few(META), too_few(COMMANDS)))


def too_few(topic: str) -> str:
    return (
        f"topic {topic} has too few copies of a partition, 1 instead of 2 (brokers: 2): make more with "
        "kafka-reassign-partitions.sh (docs/operations.md, More copies)"
    )


def made_by(brokers: int) -> str:
    return (
        f"brokers that answered: {brokers}, so what was created has {brokers} instead of 3 copies of each partition; "
        "once there are more brokers, `relaydesk topics check` says what to do"
    )


async def apply(world: BrokerWorld, *names: str) -> topic_admin.Applied:
    return await topic_admin.apply(world.messaging, {name: REGISTRY[name] for name in names})


async def check(world: BrokerWorld, *names: str) -> list[str]:
    return await topic_admin.check(world.messaging, {name: REGISTRY[name] for name in names})


async def join(world: BrokerWorld, broker: Kafka) -> None:
    broker.start()
    await asyncio.to_thread(broker.wait_ready)
    await eventually(lambda: brokers_are(world, 2), "the other one knows")


async def leave(world: BrokerWorld, broker: Kafka) -> None:
    await asyncio.to_thread(broker.stop)
    await eventually(lambda: brokers_are(world, 1), "the other one knows")


async def brokers_are(world: BrokerWorld, count: int) -> bool:
    admin = world.messaging.admin_client()
    await admin.start()
    try:
        return len((await admin.describe_cluster())["brokers"]) == count
    finally:
        await admin.close()
