"""What every record means for those who are connected."""

import asyncio
from dataclasses import replace

import pytest

from services.gateway.stream.subscriber import Stage
from shared.runtime.faults import Fatal
from tests.unit.gateway.stream.replica import HIGH, SMALL, Client, Log, Replica, record


def connected(replica: Replica, member_id: str = "ann", workspace: str = "acme") -> Client:
    client = Client(workspace, member_id).connect(replica)
    client.take()
    return client


def counted(replica: Replica, name: str) -> float:
    return replica.metrics.registry.get_sample_value(f"relaydesk_{name}_total") or 0.0


async def test_an_event_reaches_everybody_of_its_workspace_and_nobody_else() -> None:
    log = Log()
    replica = Replica(log)
    ann, bob, stranger = connected(replica), connected(replica, "bob"), connected(replica, "eve", "other")
    log.publish("acme", "c")
    replica.read()
    for client in (ann, bob, stranger):
        client.take()
    assert (ann.events, bob.events, stranger.events) == ([("acme-c", 1)], [("acme-c", 1)], [])


async def test_an_event_with_an_audience_reaches_that_member_only_in_its_place() -> None:
    log = Log()
    replica = Replica(log)
    ann, ann_too, bob = connected(replica), connected(replica), connected(replica, "bob")
    log.publish("acme", "c")
    log.publish("acme", "c", audience="agent:ann")
    log.publish("acme", "c", audience="bot")
    log.publish("acme", "c")
    replica.read()
    for client in (ann, ann_too, bob):
        client.take()
    assert [[seq for _, seq in client.events] for client in (ann, ann_too, bob)] == [[1, 2, 4], [1, 2, 4], [1, 4]]


async def test_a_batch_is_one_write_per_socket() -> None:
    log = Log()
    replica = Replica(log)
    ann, bob = connected(replica), connected(replica, "bob")
    ann.writes = bob.writes = 0
    for audience in (None, None, "agent:ann"):
        log.publish("acme", "c", **({"audience": audience} if audience else {}))
    replica.read()
    assert (ann.writes, bob.writes) == (1, 1)


async def test_a_slow_socket_is_closed_4008_and_costs_the_others_nothing() -> None:
    log = Log()
    replica = Replica(log)
    slow, healthy = connected(replica), connected(replica)
    for _ in range(100):
        log.publish("acme", "c")
        replica.read()
        healthy.take()
    assert slow.closed == [4008]
    assert slow.buffered() < SMALL.buffer_bytes + 400
    assert [seq for _, seq in healthy.events] == list(range(1, 101))


async def test_a_socket_that_takes_its_goodbye_slowly_is_not_sent_away_twice() -> None:
    log = Log()
    replica = Replica(log)
    slow = connected(replica)
    subscriber = slow.subscriber
    assert subscriber is not None
    while not slow.closed:
        log.publish("acme", "c")
        replica.read()
    replica.hub.congested(subscriber, True)
    log.publish("acme", "c")
    replica.read()
    assert slow.closed == [4008]


async def test_a_slow_socket_resumes_without_a_gap() -> None:
    log = Log()
    replica = Replica(log)
    slow = connected(replica)
    for _ in range(8):
        log.publish("acme", "c")
        replica.read()
    slow.take()
    while not slow.closed:
        log.publish("acme", "c")
        replica.read()
    slow.connect(replica)
    while len(slow.events) < log.end:
        slow.take()
        await asyncio.sleep(0)
    assert [seq for _, seq in slow.events] == list(range(1, log.end + 1))


async def test_repeats_are_counted_and_left_out() -> None:
    log = Log()
    replica = Replica(log)
    client = connected(replica)
    for _ in range(3):
        log.publish("acme", "c")
    log.redeliver(3)
    replica.read()
    client.take()
    assert [seq for _, seq in client.events] == [1, 2, 3]
    assert counted(replica, "stream_repeats") == 3


async def test_an_outcome_of_a_command_is_told_once() -> None:
    log = Log()
    replica = Replica(log)
    client = connected(replica)
    for _ in range(2):
        log.append(
            record(
                0, "acme", "acme-c", None, type="relaydesk.command.rejected.v1", causationid="1", audience="agent:ann"
            )
        )
    replica.read()
    client.take()
    assert len(client.events) == 1


async def test_the_end_of_a_command_is_made_known_at_once() -> None:
    log = Log()
    replica = Replica(log)
    finished: list[str] = []
    replica.hub.on_final(finished.append)
    log.publish("acme", "c", causationid="no end")
    log.publish("acme", "c", causationid="reply", final="true")
    log.append(record(0, "acme", "acme-c", None, type="relaydesk.command.rejected.v1", causationid="refused"))
    replica.read()
    assert finished == ["reply", "refused"]


async def test_a_seq_that_is_missing_ends_the_process() -> None:
    log = Log()
    log.publish("acme", "c")
    log.append(record(0, "acme", "acme-c", 3))
    replica = Replica(log)
    with pytest.raises(Fatal, match="seq 3 follows 1"):
        replica.read()
    assert counted(replica, "stream_divergences") == 1


async def test_a_seq_with_another_cause_ends_the_process() -> None:
    log = Log()
    log.publish("acme", "c")
    log.append(record(0, "acme", "acme-c", 1, causationid="another"))
    with pytest.raises(Fatal, match="seq 1 has two causes"):
        Replica(log).read()


async def test_an_offset_that_is_missing_ends_the_process() -> None:
    log = Log()
    log.publish("acme", "c")
    log.publish("acme", "c")
    replica = Replica(log)
    with pytest.raises(Fatal, match="offset 1 follows -1"):
        replica.hub.on_records(log.records[1:])


GOOD = record(0, "acme", "acme-c", 1)
GARBAGE = {
    "no headers": replace(GOOD, headers={}),
    "no key": replace(GOOD, key=None),
    "key of odd bytes": replace(GOOD, key=b"\xff"),
    "tombstone": replace(GOOD, value=None),
    "no object": replace(GOOD, value=b'"text"}'),
    "no number": replace(GOOD, headers={**GOOD.headers, "seq": b"one"}),
    "too many digits": replace(GOOD, headers={**GOOD.headers, "seq": b"1" * 5_000}),
    "audience of odd bytes": replace(GOOD, headers={**GOOD.headers, "audience": b"\xff"}),
}


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_what_is_no_event_is_counted_and_stepped_over(garbage: str) -> None:
    log = Log()
    log.append(GARBAGE[garbage])
    log.append(GOOD)
    replica = Replica(log)
    client = connected(replica)
    replica.read()
    client.take()
    assert client.events == [("acme-c", 1)]
    assert counted(replica, "stream_malformed") == 1


async def test_a_room_without_people_takes_no_memory() -> None:
    replica = Replica(Log())
    client = connected(replica)
    subscriber = client.subscriber
    client.cut()
    assert not replica.hub._rooms
    assert subscriber is not None
    assert subscriber.stage is Stage.CLOSED
    assert replica.metrics.registry.get_sample_value("relaydesk_stream_sockets") == 0


async def test_a_batch_far_over_the_buffer_reaches_a_healthy_reader_at_its_own_pace() -> None:
    log = Log()
    replica = Replica(log, replace(SMALL, ring_entries=1_000))
    client = connected(replica)
    for _ in range(200):
        log.publish("acme", "c")
    replica.read()
    most = client.buffered()
    while len(client.events) < 200:
        client.take(300)
        most = max(most, client.buffered())
    log.publish("acme", "c")
    replica.read()
    client.take()
    assert client.closed == []
    assert most <= HIGH + SMALL.slice_bytes + 400
    assert [seq for _, seq in client.events] == list(range(1, 202))


async def test_who_takes_nothing_of_a_large_batch_is_closed_4008_and_resumes() -> None:
    log = Log()
    replica = Replica(log, replace(SMALL, ring_entries=1_000))
    stalled, slow = connected(replica), connected(replica)
    for _ in range(200):
        log.publish("acme", "c")
    replica.read()
    began = replica.clock.monotonic()
    for second in range(10):
        replica.catch_up.tick(began + second)
        slow.take(100)
    assert (stalled.closed, slow.closed) == ([4008], [])
    stalled.take()
    stalled.connect(replica)
    while len(stalled.events) < 200:
        stalled.take()
        await asyncio.sleep(0)
    assert [seq for _, seq in stalled.events] == list(range(1, 201))


async def test_who_takes_nothing_but_is_owed_little_may_stay() -> None:
    log = Log()
    replica = Replica(log)
    stalled = connected(replica)
    for _ in range(4):
        log.publish("acme", "c")
    replica.read()
    for second in range(10):
        replica.catch_up.tick(replica.clock.monotonic() + second)
    stalled.take()
    assert stalled.closed == []
    assert [seq for _, seq in stalled.events] == [1, 2, 3, 4]


async def test_while_a_room_is_busy_its_events_share_a_write_and_none_waits_long() -> None:
    log = Log()
    replica = Replica(log, replace(SMALL, buffer_bytes=20_000))
    client = connected(replica)
    replica.clock.step = 0.001  # a delivery takes a millisecond: six more may pass before the next one
    client.writes = 0
    for _ in range(4):
        log.publish("acme", "c")
        replica.read()
    client.take()
    assert (client.writes, [seq for _, seq in client.events]) == (1, [1])
    held_for = replica.hub.held_for()
    assert held_for is not None
    assert held_for <= SMALL.join_s
    replica.clock.seconds += SMALL.join_s
    log.publish("acme", "c")
    replica.read()
    client.take()
    assert (client.writes, [seq for _, seq in client.events]) == (2, [1, 2, 3, 4, 5])


async def test_what_is_held_goes_out_by_itself() -> None:
    log = Log()
    replica = Replica(log)
    client = connected(replica)
    replica.clock.step = 0.001
    for _ in range(3):
        log.publish("acme", "c")
        replica.read()
    while len(client.events) < 3:
        await asyncio.sleep(0.001)
        client.take()
    assert replica.hub.held_for() is None


async def test_in_a_quiet_or_small_room_nothing_waits() -> None:
    log = Log()
    replica = Replica(log)
    client = connected(replica)
    for seq in range(1, 50):
        log.publish("acme", "c")
        replica.read()
        client.take()
        assert client.events[-1] == ("acme-c", seq)


async def test_who_goes_live_while_something_is_held_gets_nothing_twice_and_the_others_miss_nothing() -> None:
    log = Log()
    replica = Replica(log)
    client = connected(replica)
    replica.clock.step = 0.001
    for _ in range(3):
        log.publish("acme", "c")
        replica.read()
    beat = replica.cursors.parse(replica.catch_up.cursor_of(client.subscriber), "acme")  # type: ignore[arg-type]
    assert beat.offset == 0, "the two that are held are not accounted for"
    late = Client("acme").connect(replica, replica.cursor(0))
    for one in (client, late):
        one.take()
    log.publish("acme", "c")
    replica.clock.seconds += 1
    replica.read()
    for one in (client, late):
        one.take()
    assert [seq for _, seq in client.events] == [1, 2, 3, 4]
    assert [seq for _, seq in late.events] == [2, 3, 4]
