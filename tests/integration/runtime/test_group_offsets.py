"""Offsets of a group that cannot be, or that begin nowhere: refuse and name the topic, never skip."""

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import RecordsToDelete

from shared.contracts.topics import MAX_RECORD_BYTES
from shared.runtime.batches import Batch
from shared.runtime.records import Outgoing
from shared.testing.eventually import eventually
from tests.integration.runtime.conftest import Running
from tests.integration.runtime.worlds import INBOUND, QUICK, BrokerWorld, Recorder, numbered

GROUP = "routing"


async def test_a_stored_offset_above_the_end_refuses_to_work_and_names_the_topic(
    kafka: BrokerWorld, running: Running
) -> None:
    producer = await running.start(kafka.messaging.producer())
    await store_offset(kafka, 0, 100)
    handler = Recorder()

    consumer = await running.start(kafka.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))

    await eventually(lambda: kafka.fatals, "it refuses")
    assert INBOUND in str(kafka.fatals[0]) and "100" in str(kafka.fatals[0])
    assert consumer.failure is kafka.fatals[0]
    assert not handler.assignments


async def test_a_stored_offset_whose_records_are_gone_refuses_to_work_and_names_the_topic(
    kafka: BrokerWorld, running: Running
) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(20))
    number = (await kafka.records(INBOUND))[0].partition
    await store_offset(kafka, number, 5)
    await cut(kafka, number, 10)

    await running.start(kafka.messaging.group(GROUP, [INBOUND], Recorder(), producer, QUICK))

    await eventually(lambda: kafka.fatals, "it refuses")
    assert INBOUND in str(kafka.fatals[0])


async def test_a_position_that_falls_out_of_the_topic_is_fatal_not_skipped(
    kafka: BrokerWorld, running: Running
) -> None:
    producer = await running.start(kafka.messaging.producer())
    big = b"x" * (MAX_RECORD_BYTES // 2)  # so that not all of them are fetched at once
    for _ in range(8):
        await producer.publish([Outgoing(INBOUND, "w:c", big)])
    goes_on, entered = asyncio.Event(), asyncio.Event()

    async def slow(batch: Batch) -> None:
        entered.set()
        await goes_on.wait()

    handler = Recorder(slow)
    consumer = await running.start(kafka.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))
    await entered.wait()
    await cut(kafka, handler.calls[0][0].partition, 7)
    goes_on.set()

    await eventually(lambda: kafka.fatals, "it ends")
    assert INBOUND in str(kafka.fatals[0])
    assert consumer.progress() is not None


async def test_a_group_without_offsets_begins_at_the_oldest_record_that_is_left(
    kafka: BrokerWorld, running: Running
) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(20))
    await cut(kafka, (await kafka.records(INBOUND))[0].partition, 10)
    handler = Recorder()

    await running.start(kafka.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))

    await eventually(lambda: handler.values == [str(n).encode() for n in range(10, 20)], "what is left")


async def store_offset(world: BrokerWorld, number: int, offset: int) -> None:
    messaging = world.messaging
    at = messaging.partition((INBOUND, number))
    consumer = AIOKafkaConsumer(bootstrap_servers=world.where.kafka, group_id=messaging.on_broker(GROUP))
    consumer.assign([at])
    await consumer.start()
    await consumer.commit({at: offset})
    await consumer.stop()


async def cut(world: BrokerWorld, number: int, before: int) -> None:
    """Delete the records below an offset, as retention does."""
    admin = world.messaging.admin_client()
    await admin.start()
    try:
        await admin.delete_records({world.messaging.partition((INBOUND, number)): RecordsToDelete(before)})
    finally:
        await admin.close()
