"""How each kind of cursor is answered, and how a replay behaves on the way."""

import asyncio
from dataclasses import replace

import pytest

from services.gateway.stream.catchup import ARRIVALS_PER_TURN
from services.gateway.stream.settings import StreamSettings
from tests.unit.gateway.stream.replica import HIGH, SMALL, Client, Log, Replica, record, settle


def log_of(count: int, workspace: str = "acme") -> Log:
    log = Log()
    for _ in range(count):
        log.publish(workspace, "c")
    return log


def caught_up(log: Log, settings: StreamSettings = SMALL, start: int = 0) -> Replica:
    replica = Replica(log, settings, start)
    replica.read()
    return replica


async def connected(replica: Replica, cursor: str) -> Client:
    client = Client("acme").connect(replica, cursor)
    await quiet(client)
    return client


async def quiet(client: Client) -> None:
    """Until it gets nothing any more."""
    got = -1
    while got != len(client.frames):
        got = len(client.frames)
        await settle()
        client.take()


def seqs(client: Client) -> list[int]:
    return [seq for _, seq in client.events]


def told(client: Client) -> list[tuple[object, ...]]:
    """Type, and what it says of the resume, of every frame that is no event."""
    return [(f["type"], f.get("recovered", f.get("reason"))) for f in client.frames if f["type"] != "event"]


async def test_without_a_cursor_the_stream_begins_with_the_next_event() -> None:
    log = log_of(3)
    replica = caught_up(log)
    client = await connected(replica, "")
    log.publish("acme", "c")
    replica.read()
    client.take()
    assert told(client) == [("welcome", False)]
    assert seqs(client) == [4]


async def test_a_recent_cursor_is_served_from_memory() -> None:
    log = log_of(10)
    replica = caught_up(log)
    client = await connected(replica, replica.cursor(6))
    assert told(client) == [("welcome", True)]
    assert seqs(client) == [8, 9, 10]
    assert log.reads == 0


async def test_an_older_cursor_is_served_from_kafka_and_goes_on_live() -> None:
    log = log_of(40)
    replica = caught_up(log)
    client = await connected(replica, replica.cursor(2))
    log.publish("acme", "c")
    replica.read()
    client.take()
    assert told(client) == [("welcome", True)]
    assert seqs(client) == list(range(4, 42))


async def test_a_welcome_names_the_place_that_the_stream_goes_on_from() -> None:
    replica = caught_up(log_of(40))
    client = await connected(replica, replica.cursor(2))
    welcomed = replica.cursors.parse(client.of("welcome")[0]["cursor"], "acme")
    assert welcomed.offset == 2, "cut right after the welcome, nothing is lost"


@pytest.mark.parametrize("cursor", ["x", "0", "A" * 64, "é"])
async def test_an_unreadable_cursor_is_invalid(cursor: str) -> None:
    client = await connected(caught_up(log_of(3)), cursor)
    assert told(client) == [("welcome", False), ("snapshot_required", "invalid")]


async def test_a_cursor_of_another_workspace_is_foreign() -> None:
    replica = caught_up(log_of(3))
    client = await connected(replica, replica.cursor(1, "other"))
    assert told(client) == [("welcome", False), ("snapshot_required", "foreign")]


async def test_a_cursor_of_an_earlier_life_of_the_topic_is_recreated() -> None:
    old = Replica(Log(), incarnation="zero")
    client = await connected(caught_up(log_of(3)), old.cursor(1))
    assert told(client) == [("welcome", False), ("snapshot_required", "recreated")]


async def test_a_cursor_beyond_the_bounded_replay_is_expired_before_anything_is_read() -> None:
    log = log_of(40)
    replica = caught_up(log, replace(SMALL, replay_offsets=20))
    assert told(await connected(replica, replica.cursor(10))) == [("welcome", False), ("snapshot_required", "expired")]
    assert log.reads == 0
    assert told(await connected(replica, replica.cursor(14))) == [("welcome", True)]


async def test_a_cursor_before_what_retention_left_is_expired_and_the_next_one_is_served() -> None:
    log = log_of(40)
    log.begin = 14
    replica = caught_up(log, start=14)
    assert told(await connected(replica, replica.cursor(12))) == [("welcome", False), ("snapshot_required", "expired")]
    client = await connected(replica, replica.cursor(13))
    assert told(client) == [("welcome", True)]
    assert seqs(client) == list(range(15, 41))


async def test_a_cursor_ahead_of_this_replica_waits_for_it_and_skips_what_its_holder_has() -> None:
    log = log_of(10)
    replica = Replica(log)
    replica.read(4)
    client = await connected(replica, replica.cursor(7))
    assert client.frames == []
    replica.read()
    client.take()
    assert told(client) == [("welcome", True)]
    assert seqs(client) == [9, 10]


async def test_a_cursor_that_the_log_does_not_reach_is_from_the_future_and_live_events_follow() -> None:
    log = log_of(3)
    replica = caught_up(log)
    client = await connected(replica, replica.cursor(1_000))
    replica.catch_up.tick(replica.clock.monotonic() + SMALL.ahead_s - 0.1)
    client.take()
    assert client.frames == []
    replica.catch_up.tick(replica.clock.monotonic() + SMALL.ahead_s)
    log.publish("acme", "c")
    replica.read()
    client.take()
    assert told(client) == [("welcome", False), ("snapshot_required", "future")]
    assert seqs(client) == [4]


async def test_a_snapshot_is_required_where_the_old_range_contradicts_itself() -> None:
    log = log_of(10)
    log.append(record(0, "acme", "acme-c", 5, causationid="another"))
    for _ in range(30):
        log.publish("acme", "c")
    replica = caught_up(log, start=30)
    assert told(await connected(replica, replica.cursor(9))) == [("welcome", False), ("snapshot_required", "diverged")]


async def test_a_snapshot_is_required_where_kafka_does_not_answer() -> None:
    log = log_of(40)
    replica = caught_up(log)
    log.away = True
    assert told(await connected(replica, replica.cursor(3))) == [
        ("welcome", False),
        ("snapshot_required", "unavailable"),
    ]


async def test_a_replay_that_breaks_off_closes_the_socket_and_the_next_one_goes_on() -> None:
    log = log_of(40)
    replica = caught_up(log)
    client = Client("acme").connect(replica, replica.cursor(2))
    while not client.events:
        await settle()
        client.take(300)
    log.away = True
    while not client.closed:
        await settle()
        client.take()
    log.away = False
    client.connect(replica)
    await quiet(client)
    assert client.closed == [1001]
    assert seqs(client) == list(range(4, 41))


async def test_a_replay_waits_for_its_reader() -> None:
    log = log_of(500)
    replica = caught_up(log)
    client = Client("acme").connect(replica, replica.cursor(2))
    most = 0
    while seqs(client) != list(range(4, 501)):
        await settle()
        most = max(most, client.buffered())
        client.take(700)
    assert most <= HIGH + SMALL.slice_bytes + 400


async def test_clients_that_ask_for_the_same_range_share_its_reading() -> None:
    log = log_of(200)
    replica = caught_up(log)
    await connected(replica, replica.cursor(100))
    alone, log.reads = log.reads, 0
    replica = caught_up(log)
    clients = [Client("acme").connect(replica, replica.cursor(100 + number % 3)) for number in range(30)]
    while any(seqs(client)[-1:] != [200] for client in clients):
        await settle()
        for client in clients:
            client.take(1_000)
    assert log.reads == alone


async def test_a_block_that_was_read_when_the_log_was_shorter_is_read_again() -> None:
    settings = replace(SMALL, backfill=replace(SMALL.backfill, block=100))
    log = log_of(20)
    replica = caught_up(log, settings)
    assert seqs(await connected(replica, replica.cursor(9))) == list(range(11, 21))
    for _ in range(20):
        log.publish("acme", "c")
    replica.read()
    assert seqs(await connected(replica, replica.cursor(9))) == list(range(11, 41))
    assert seqs(await connected(replica, replica.cursor(25))) == list(range(27, 41))


async def test_what_is_kept_of_old_ranges_is_bounded() -> None:
    log = log_of(1_000)
    replica = caught_up(log)
    assert seqs(await connected(replica, replica.cursor(0))) == list(range(2, 1_001))
    assert sum(block.size for block in replica.backfill._held.values()) <= SMALL.backfill.cache_bytes


async def test_a_client_that_goes_while_its_range_is_read_harms_nobody() -> None:
    log = log_of(40)
    replica = caught_up(log)
    gone, staying = (
        Client("acme").connect(replica, replica.cursor(2)),
        Client("acme").connect(replica, replica.cursor(2)),
    )
    gone.cut()
    while seqs(staying)[-1:] != [40]:
        await settle()
        staying.take()
    assert gone.buffered() == 0


async def test_in_a_storm_of_reconnects_live_events_get_through_between_the_replays() -> None:
    log = log_of(10)
    replica = caught_up(log)
    live = await connected(replica, "")
    storm = [Client("acme").connect(replica, replica.cursor(6)) for _ in range(10 * ARRIVALS_PER_TURN)]
    turns = 0
    while not storm[-1].writes:
        log.publish("acme", "c")
        replica.read()
        live.take()
        assert seqs(live)[-1:] == [log.end]
        assert sum(client.writes > 0 for client in storm) <= (turns + 1) * ARRIVALS_PER_TURN
        await asyncio.sleep(0)
        turns += 1
    for client in storm:
        await quiet(client)
    assert all(seqs(client) == list(range(8, log.end + 1)) for client in storm)


async def test_who_leaves_while_waiting_in_line_gets_nothing_and_holds_up_nobody() -> None:
    replica = caught_up(log_of(10))
    storm = [Client("acme").connect(replica, replica.cursor(6)) for _ in range(2 * ARRIVALS_PER_TURN)]
    for client in storm[1::2]:
        client.cut()
    for client in storm[::2]:
        await quiet(client)
        assert seqs(client) == [8, 9, 10]
    assert not any(client.writes for client in storm[ARRIVALS_PER_TURN + 1 :: 2])
