"""Tails, tables and ranges on the real broker, where the twin cannot follow."""

import asyncio

import pytest

from shared.runtime import topic_admin
from shared.runtime.faults import Fatal
from shared.runtime.producer import partition_for
from shared.runtime.range_reader import OffsetGone, read_range
from shared.runtime.records import Record
from shared.testing.eventually import eventually
from tests.integration.runtime.conftest import Running
from tests.integration.runtime.test_group_offsets import cut
from tests.integration.runtime.test_topic_admin import delete
from tests.integration.runtime.worlds import INBOUND, REGISTRY, BrokerWorld, numbered

NUMBER = partition_for("w:c", REGISTRY[INBOUND].partitions)


async def test_a_range_is_exactly_what_was_asked_for(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(100))

    async def values(start: int, end: int, max_records: int = 1_000) -> list[int]:
        found = await read_range(kafka.messaging, INBOUND, NUMBER, (start, end), max_records)
        return [int(record.value or b"") for record in found]

    assert await values(10, 15) == [10, 11, 12, 13, 14]
    assert await values(0, 100) == list(range(100))
    assert await values(10, 50, max_records=3) == [10, 11, 12]
    assert await values(95, 500) == [95, 96, 97, 98, 99]
    assert await values(5, 5) == []


async def test_a_range_whose_beginning_is_gone_says_so(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(20))
    await cut(kafka, NUMBER, 10)

    with pytest.raises(OffsetGone):
        await read_range(kafka.messaging, INBOUND, NUMBER, (5, 15), 100)
    with pytest.raises(OffsetGone):
        await read_range(kafka.messaging, INBOUND, NUMBER, (25, 30), 100)


async def test_a_tail_whose_place_is_gone_is_fatal(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(20))
    seen: list[Record] = []
    tail = await running.start(kafka.messaging.tail(INBOUND, seen.extend))
    await tail.wait_caught_up()

    await delete(kafka, INBOUND)
    await topic_admin.apply(kafka.messaging, REGISTRY)

    await eventually(lambda: kafka.fatals, "it ends")
    assert INBOUND in str(kafka.fatals[0])
    assert tail.progress() is not None
    assert not tail.caught_up


async def test_a_tail_whose_reader_fails_is_fatal(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(1))

    def fail(records: object) -> None:
        raise KeyError("bug")

    tail = await running.start(kafka.messaging.tail(INBOUND, fail))

    with pytest.raises(Fatal, match="bug"):
        await tail.wait_caught_up()
    assert kafka.fatals


async def test_a_tail_of_a_topic_that_is_missing_does_not_start(kafka: BrokerWorld) -> None:
    with pytest.raises(Fatal, match="missing"):
        await kafka.messaging.tail("nonsense", lambda records: None).start()


async def test_a_tail_gives_way_while_it_reads_a_backlog(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    for first in range(0, 20_000, 1_000):
        await producer.publish(numbered(1_000, first=first))
    turns = 0
    at_delivery: list[int] = []

    async def others_work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    tail = await running.start(kafka.messaging.tail(INBOUND, lambda records: at_delivery.append(turns)))
    others = asyncio.create_task(others_work())
    await tail.wait_caught_up()
    others.cancel()

    assert len(at_delivery) >= 20
    assert sorted(set(at_delivery)) == at_delivery, "others had a turn between any two deliveries"
