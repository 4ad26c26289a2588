"""The broker stops, dies, hangs and comes back: everything waits, goes on by itself, and nothing is lost."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.produce import ProduceRequest

from shared.engines.kafka import Kafka
from shared.runtime import topic_admin
from shared.runtime.component import Component
from shared.runtime.faults import Transient
from shared.runtime.records import Outgoing, Record
from shared.runtime.settings import KafkaSettings
from shared.testing.eventually import eventually
from tests.integration.runtime.conftest import Running
from tests.integration.runtime.worlds import CONTACTS, INBOUND, QUICK, REGISTRY, BrokerWorld, Recorder, numbered

GROUP = "routing"


@pytest_asyncio.fixture
async def hurt(own_kafka: Kafka) -> AsyncIterator[BrokerWorld]:
    """The broker to be hurt, with this test's topics."""
    world = BrokerWorld(KafkaSettings(kafka=own_kafka.url, topic_prefix=f"t{time.monotonic_ns()}."))

    async def applied() -> bool:
        try:
            await topic_admin.apply(world.messaging, REGISTRY)
        except Transient:  # a broker that has just come back doesn't know itself yet
            return False
        return True

    await eventually(applied, "the topics")
    yield world


async def restart(broker: Kafka) -> None:
    broker.start()
    await asyncio.to_thread(broker.wait_ready)


async def starts(running: Running, part: Component) -> bool:
    """Called again while what it needs is away, as a service does; a broker that has just come back may be, too."""
    try:
        await running.start(part)
    except Transient:
        return False
    return True


async def test_a_broker_that_was_killed_and_came_back_costs_nothing_but_time(
    own_kafka: Kafka, hurt: BrokerWorld, running: Running
) -> None:
    producer = await running.start(hurt.messaging.producer())
    handler, rows, seen = Recorder(), dict[str, bytes | None](), list[Record]()
    consumer = await running.start(hurt.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))
    table = await running.start(hurt.messaging.table(CONTACTS, rows.__setitem__))
    tail = await running.start(hurt.messaging.tail(INBOUND, seen.extend))
    await producer.publish(numbered(10))
    await eventually(lambda: len(handler.handled) == 10, "it works before")
    await hurt.messaging.ping()

    own_kafka.kill()
    producer._deadline_s = 1.0
    with pytest.raises(Transient, match="unknown, retry with the same id"):
        await producer.publish(numbered(10, first=10))
    with pytest.raises(Transient):
        await hurt.messaging.ping()
    with pytest.raises(Transient):
        await consumer.end_offset((INBOUND, 0))
    assert consumer.progress() is None
    assert tail.progress() is None
    await restart(own_kafka)

    async def published() -> bool:
        try:
            await producer.publish([Outgoing(CONTACTS, "w:back", b"1")])
        except Transient:
            return False
        return True

    await eventually(published, "the producer goes on")
    await eventually(lambda: len(set(handler.values)) == 20, "the group goes on; what was unknown has arrived")
    await eventually(lambda: len(seen) == 20, "so does the tail")
    await eventually(lambda: table.get("w:back") == b"1", "and the table")
    assert [record.value for record in seen] == [str(number).encode() for number in range(20)], "each once, in order"
    assert not hurt.fatals


async def test_components_do_not_start_without_a_broker_but_do_when_it_is_there(
    own_kafka: Kafka, hurt: BrokerWorld, running: Running
) -> None:
    await asyncio.to_thread(own_kafka.stop)
    producer = hurt.messaging.producer()
    handler = Recorder()
    parts: list[Component] = [
        topic_admin.TopicGate(hurt.messaging, [INBOUND]),
        producer,
        hurt.messaging.group(GROUP, [INBOUND], handler, producer, QUICK),
        hurt.messaging.table(CONTACTS),
        hurt.messaging.tail(INBOUND, lambda records: None),
    ]
    for part in parts:
        with pytest.raises(Transient):
            await part.start()

    await restart(own_kafka)
    for part in parts:
        await eventually(lambda: starts(running, part), "it starts")  # noqa: B023

    await producer.publish(numbered(1))
    await eventually(lambda: handler.values == [b"0"], "all work")


async def test_a_hanging_broker_fails_a_publish_in_time_and_a_stop_does_not_hang_with_it(
    own_kafka: Kafka, hurt: BrokerWorld, running: Running
) -> None:
    producer, handler = hurt.messaging.producer(), Recorder()
    await producer.start()
    consumer = hurt.messaging.group(GROUP, [INBOUND], handler, producer, QUICK)
    await consumer.start()
    await producer.publish(numbered(1))
    await eventually(lambda: handler.handled, "it works")

    producer._deadline_s = 0.5
    os.kill(own_kafka.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(Transient):
            await producer.publish(numbered(1))
        assert time.monotonic() - began < 25, "the client's own patience is 30 s"
        began = time.monotonic()
        await consumer.stop()
        await producer.stop()
        assert time.monotonic() - began < 35, "both are bounded: 20 s at most, and room for a busy machine"
    finally:
        os.kill(own_kafka.pid, signal.SIGCONT)


async def test_the_order_of_a_key_and_the_single_copy_survive_a_killed_broker(
    own_kafka: Kafka, hurt: BrokerWorld, running: Running
) -> None:
    producer = await running.start(hurt.messaging.producer(deadline_s=200))

    async def publish_all() -> None:
        for first in range(0, 600, 3):
            await producer.publish(numbered(3, first=first))

    publishing = asyncio.create_task(publish_all())
    await asyncio.sleep(0.05)  # somewhere in the middle: where does not matter
    own_kafka.kill()
    await restart(own_kafka)
    await publishing

    assert [record.value for record in await hurt.records(INBOUND)] == [str(number).encode() for number in range(600)]


async def test_a_retry_does_not_pile_up_copies_while_the_first_attempt_is_still_on_its_way(
    own_kafka: Kafka, hurt: BrokerWorld, running: Running
) -> None:
    producer = await running.start(hurt.messaging.producer())
    await producer.publish(numbered(1))
    await asyncio.to_thread(own_kafka.stop)
    producer._deadline_s = 0.3
    for _ in range(10):
        with pytest.raises(Transient):
            await producer.publish(numbered(1, first=1))
    await restart(own_kafka)

    async def there() -> bool:
        try:
            return len(await hurt.records(INBOUND)) == 2
        except Transient:
            return False

    await eventually(there, "the unknown one has arrived, once")


async def test_a_lost_acknowledgement_neither_doubles_nor_reorders_records(
    kafka: BrokerWorld, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = await running.start(kafka.messaging.producer())
    send, lost = AIOKafkaClient.send, 0

    async def losing(self: AIOKafkaClient, node: int, request: object, **options: object) -> object:
        nonlocal lost
        answer = await send(self, node, request, **options)
        if isinstance(request, ProduceRequest) and lost < 3:
            lost += 1
            raise KafkaConnectionError("the answer is lost, the records are stored")
        return answer

    monkeypatch.setattr(AIOKafkaClient, "send", losing)
    await asyncio.gather(producer.publish(numbered(50)), producer.publish(numbered(50, key="w:other")))
    await producer.publish(numbered(50, first=50))

    assert lost == 3
    stored = [record for record in await kafka.records(INBOUND) if record.key == b"w:c"]
    assert [record.value for record in stored] == [str(number).encode() for number in range(100)]
