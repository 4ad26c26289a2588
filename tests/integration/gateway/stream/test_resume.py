"""Coming back with a cursor."""

from dataclasses import replace

from services.gateway.stream import StreamSettings
from services.gateway.stream.backfill import BackfillSettings
from shared.testing.eventually import eventually
from shared.testing.stream_client import StreamClient
from tests.integration.gateway.stream.conftest import SETTINGS, Conversation, Replica, StreamWorld, has, seqs

TINY = replace(SETTINGS, ring_entries=5, backfill=BackfillSettings(block=40, overlap=80, parallel=2))


async def published(world: StreamWorld, count: int) -> Conversation:
    conversation = world.conversation()
    await world.publish(*[conversation.next() for _ in range(count)])
    return conversation


def after(replica: Replica, seen: int) -> str:
    """A cursor whose holder has seen the first so many records of the workspace's partition."""
    partition = replica.stream.partition_of(replica.workspace)
    return replica.stream.cursor_at(replica.workspace, partition, seen)


def answer(client: StreamClient) -> list[object]:
    told = [frame["reason"] for frame in client.of("snapshot_required")]
    assert client.welcome is not None
    return [client.welcome["recovered"], *told]


async def test_a_gap_is_filled_from_memory(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    client = await replica.client()
    await world.publish(*[conversation.next() for _ in range(3)])
    await has(client, [1, 2, 3])
    client.cut()
    await world.publish(*[conversation.next() for _ in range(50)])
    back = await replica.client(client.cursor)
    await world.publish(conversation.next())
    await has(back, range(4, 55))
    assert answer(back) == [True]
    assert replica.counted("stream_resumes", outcome="kafka") == 0


async def test_a_gap_is_filled_from_kafka_where_memory_does_not_reach(world: StreamWorld) -> None:
    conversation = await published(world, 1_000)
    replica = await world.replica(TINY)
    client = await replica.client(after(replica, 3))
    await world.publish(conversation.next())
    await has(client, range(4, 1_002))
    assert answer(client) == [True]
    assert replica.counted("stream_resumes", outcome="kafka") == 1


async def test_live_events_queue_up_behind_a_replay(world: StreamWorld) -> None:
    conversation = await published(world, 2_000)
    replica = await world.replica(TINY)
    client = await replica.client(after(replica, 0))
    while conversation.seq < 3_000:
        await world.publish(*[conversation.next() for _ in range(20)])
    await has(client, range(1, 3_001))


async def test_repeats_in_an_old_range_are_left_out(world: StreamWorld) -> None:
    conversation = world.conversation()
    events = [conversation.next() for _ in range(100)]
    await world.publish(*events, *events[30:], *[conversation.next() for _ in range(100)])
    replica = await world.replica(TINY)
    client = await replica.client(after(replica, 60))
    await has(client, range(61, 201))
    behind_the_repeats = await replica.client(after(replica, 110))
    await has(behind_the_repeats, range(101, 201))


async def test_an_old_range_that_contradicts_itself_asks_for_a_snapshot(world: StreamWorld) -> None:
    conversation = world.conversation()
    events = [conversation.next() for _ in range(5)]
    await world.publish(*events, conversation.event(3, causationid="another"))
    await world.publish(*[conversation.next() for _ in range(30)])
    replica = await world.replica(replace(TINY, lookback_records=10))
    client = await replica.client(after(replica, 2))
    await world.publish(conversation.next())
    await eventually(lambda: client.events, "live events follow")
    assert answer(client) == [False, "diverged"]
    assert not world.fatals


async def test_a_resume_goes_on_across_a_restart(world: StreamWorld) -> None:
    first, conversation = await world.replica(), world.conversation()
    client = await first.client()
    await world.publish(*[conversation.next() for _ in range(10)])
    await has(client, range(1, 11))
    await first.stream.stop()
    await world.publish(*[conversation.next() for _ in range(10)])
    back = await (await world.replica()).client(client.cursor)
    await has(back, range(11, 21))


async def test_a_position_of_another_reader_is_a_cursor(world: StreamWorld) -> None:
    await published(world, 10)
    replica = await world.replica()
    await has(await replica.client(after(replica, 0)), range(1, 11))
    await has(await replica.client(after(replica, 9)), [10])
    whole = await replica.client(after(replica, 10))
    assert answer(whole) == [True]
    assert seqs(whole) == []


async def test_a_slow_reader_is_not_hurried_through_a_replay(world: StreamWorld) -> None:
    conversation = world.conversation()
    for _ in range(20):
        await world.publish(*[conversation.next("x" * 10_000) for _ in range(40)])
    replica = await world.replica(replace(TINY, buffer_bytes=100_000))
    client = await replica.stalled(after(replica, 0))
    healthy = await replica.client(after(replica, 0))
    await has(healthy, range(1, 801))
    await world.publish(conversation.next())
    await has(healthy, range(1, 802))
    client.go_on()
    await has(client, range(1, 802))
    assert not replica.counted("stream_dismissed", code="4008")


async def odd(world: StreamWorld, cursor: str, settings: StreamSettings = SETTINGS) -> list[object]:
    """How a replica answers a cursor; live events follow in any case."""
    replica = await world.replica(settings)
    client, conversation = await replica.client(cursor), world.conversation()
    await world.publish(conversation.next())
    await has(client, [1])
    return answer(client)


async def test_a_forged_cursor_is_invalid(world: StreamWorld) -> None:
    forged = replace(SETTINGS, key=b"another key")
    cursor = after(await world.replica(forged), 0)
    assert await odd(world, cursor) == [False, "invalid"]


async def test_a_cursor_of_another_workspace_is_foreign(world: StreamWorld) -> None:
    replica = await world.replica()
    cursor = replica.stream.cursor_at("stranger", replica.stream.partition_of("stranger"), 0)
    assert await odd(world, cursor) == [False, "foreign"]


async def test_a_cursor_from_the_future_is_told_so(world: StreamWorld) -> None:
    cursor = after(await world.replica(), 1_000_000)
    assert await odd(world, cursor, replace(SETTINGS, ahead_s=0.2)) == [False, "future"]


async def test_a_cursor_too_far_back_is_expired(world: StreamWorld) -> None:
    await published(world, 100)
    cursor = after(await world.replica(), 10)
    assert await odd(world, cursor, replace(TINY, replay_offsets=20)) == [False, "expired"]


async def test_a_cursor_whose_records_retention_has_taken_is_expired(world: StreamWorld) -> None:
    await published(world, 100)
    replica = await world.replica()
    await world.forget_before(replica.stream.partition_of(world.workspace), 50)
    assert await odd(world, after(replica, 10), TINY) == [False, "expired"]
    client = await (await world.replica(TINY)).client(after(replica, 50))
    assert answer(client) == [True]
    await eventually(lambda: seqs(client)[:50] == list(range(51, 101)), "what is left")


async def test_a_cursor_of_the_topics_earlier_life_is_refused(world: StreamWorld) -> None:
    await published(world, 3)
    old = await world.replica()
    cursor = after(old, 2)
    await old.stream.stop()
    await world.recreate()
    assert await odd(world, cursor) == [False, "recreated"]


async def test_an_empty_cursor_is_none(world: StreamWorld) -> None:
    await published(world, 3)
    assert await odd(world, "") == [False]
