"""Commands that read whole topics and place groups: only where nobody is in the group."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.runtime import group_offsets
from shared.runtime.end_offsets import EndOffsets
from shared.runtime.faults import Fatal
from shared.runtime.progress import Progress
from shared.runtime.topic_log import TopicLog
from shared.testing.eventually import eventually
from tests.integration.runtime.conftest import Running
from tests.integration.runtime.worlds import INBOUND, QUICK, BrokerWorld, Recorder, numbered

GROUP = "routing"


async def test_a_group_goes_on_where_it_was_placed(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(20))
    [at] = {(record.topic, record.partition) for record in await kafka.records(INBOUND)}
    assert await group_offsets.committed(kafka.messaging, GROUP, [at]) == {}

    await group_offsets.commit(kafka.messaging, GROUP, {at: 17})

    assert await group_offsets.committed(kafka.messaging, GROUP, [at]) == {at: 17}
    assert await group_offsets.members(kafka.messaging, [GROUP]) == {}
    handler = Recorder()
    await running.start(kafka.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))
    await eventually(lambda: len(handler.calls) >= 1, "it reads")
    assert handler.calls[0][0].offset == 17


async def test_a_group_with_members_is_seen_and_refused(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    await running.start(kafka.messaging.group(GROUP, [INBOUND], Recorder(), producer, QUICK))
    assert await group_offsets.members(kafka.messaging, [GROUP, "nobody"]) == {GROUP: 1}
    with pytest.raises(Fatal, match=GROUP):
        await group_offsets.commit(kafka.messaging, GROUP, {(INBOUND, 0): 0})


async def test_a_topic_is_read_whole_or_from_a_moment_on(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    offsets = await running.start(EndOffsets(kafka.messaging))
    await producer.publish(numbered(20))
    told: list[Progress] = []

    async def read(since: datetime | None) -> list[int]:
        topics = TopicLog(kafka.messaging, offsets, told.append, since)
        return [record.offset async for chunk in topics.chunks(INBOUND) for record in chunk]

    now = datetime.now(UTC)
    assert await read(None) == list(range(20)) == await read(now - timedelta(hours=1))
    assert (told[-1].done, told[-1].total) == (20, 20)
    assert await read(now + timedelta(hours=1)) == []
