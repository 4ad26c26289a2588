"""Events as they come: order, audience, heartbeats, readers of all speeds."""

import json
from dataclasses import replace

import pytest

from shared.testing.eventually import eventually
from shared.testing.stream_client import BINARY, CLOSE, FIN, PING, TEXT, StreamClient
from tests.integration.gateway.stream.conftest import BEATING, SETTINGS, StreamWorld, has, seqs

IMPATIENT = replace(SETTINGS, buffer_bytes=256 * 1024, stuck_s=0.5)
"""Who is owed more than fits is too slow after half a second. A healthy reader is never owed so much."""


async def test_events_come_in_order_as_they_were_published(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    client = await replica.client()
    events = [conversation.next(f"größe {number}") for number in range(300)]
    for at in range(0, 300, 7):
        await world.publish(*events[at : at + 7])
    await has(client, range(1, 301))
    assert client.events == [json.loads(event.encoded()) for event in events]


async def test_another_workspace_gets_nothing(world: StreamWorld) -> None:
    replica = await world.replica()
    client, stranger = await replica.client(), await replica.client(workspace="stranger")
    conversation, elsewhere = world.conversation(), world.conversation("stranger")
    await world.publish(conversation.next(), elsewhere.next(), conversation.next())
    await has(client, [1, 2])
    await has(stranger, [1])
    assert {event["workspace"] for event in stranger.events} == {"stranger"}


async def test_what_has_an_audience_is_seen_by_that_member_only(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    ann, bob = await replica.client(member_id="ann"), await replica.client(member_id="bob")
    await world.publish(conversation.next(), conversation.next(audience="agent:ann"), conversation.next())
    await has(ann, [1, 2, 3])
    await has(bob, [1, 3])


async def test_repeats_of_a_redelivery_are_left_out(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    client = await replica.client()
    events = [conversation.next() for _ in range(5)]
    await world.publish(*events, *events[2:], conversation.next())
    await has(client, range(1, 7))
    assert replica.counted("stream_repeats") == 3


async def test_repeats_are_known_after_a_restart_too(world: StreamWorld) -> None:
    conversation = world.conversation()
    events = [conversation.next() for _ in range(5)]
    await world.publish(*events)
    replica = await world.replica()
    client = await replica.client()
    await world.publish(*events, conversation.next())
    await has(client, [6])


@pytest.mark.parametrize("contradiction", ["two causes", "a missing seq"])
async def test_a_log_that_contradicts_itself_ends_the_process(world: StreamWorld, contradiction: str) -> None:
    replica, conversation = await world.replica(), world.conversation()
    await world.publish(conversation.next(), conversation.next())
    odd = conversation.event(2, causationid="another") if contradiction == "two causes" else conversation.event(4)
    await world.publish(odd)
    await eventually(lambda: world.fatals, "the alarm")
    assert "seq" in str(world.fatals[0])
    assert replica.counted("stream_divergences") == 1


async def test_garbage_on_the_topic_is_counted_and_stepped_over(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    client = await replica.client()
    await world.publish_bytes(b"\xff{garbage")
    await world.publish(conversation.next())
    await has(client, [1])
    assert replica.counted("stream_malformed") == 1


async def test_the_end_of_a_command_is_made_known(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    finished: list[str] = []
    replica.stream.on_final(finished.append)
    rejected = conversation.event(None, type="relaydesk.command.rejected.v1", causationid="refused")
    await world.publish(conversation.next(), conversation.next(final=True, causationid="reply"), rejected)
    await eventually(lambda: finished == ["reply", "refused"], "both commands")


async def test_a_quiet_workspace_gets_heartbeats_and_its_cursor_moves_on(world: StreamWorld) -> None:
    replica = await world.replica(BEATING)
    name = next(n for n in map(str, range(50)) if _together(replica.stream.partition_of, n, world.workspace))
    client = await replica.client()

    def offset_of(cursor: str) -> int:
        return replica.stream._cursors.parse(cursor, world.workspace).offset

    before = offset_of(client.cursor)
    elsewhere = world.conversation(name)
    await world.publish(*[elsewhere.next() for _ in range(3)])
    await eventually(lambda: offset_of(client.cursor) == before + 3, "a heartbeat behind the others' events")
    await eventually(lambda: len(client.of("heartbeat")) >= 3, "three heartbeats")
    assert client.events == []
    assert client.frames[0]["heartbeat_s"] == BEATING.heartbeat_s


def _together(partition_of: object, one: str, other: str) -> bool:
    assert callable(partition_of)
    return bool(partition_of(one) == partition_of(other))


async def test_a_stalled_reader_is_closed_and_a_healthy_one_gets_everything(world: StreamWorld) -> None:
    replica = await world.replica(IMPATIENT)
    conversation = world.conversation()
    healthy, stalled = await replica.client(), await replica.stalled()
    sent = 0
    while not replica.counted("stream_dismissed", code="4008"):
        await world.publish(*[conversation.next("x" * 10_000) for _ in range(20)])
        sent += 20
        await has(healthy, range(1, sent + 1))
        assert sent < 5_000
    await eventually(lambda: replica.sockets() == 1, "the stalled one is out")
    await world.publish(conversation.next())
    await has(healthy, range(1, sent + 2))
    assert healthy.code is None
    stalled.go_on()
    await eventually(lambda: stalled.ended, "the stalled one notices")


async def test_a_slow_reader_learns_that_it_was_too_slow_and_resumes_without_a_gap(world: StreamWorld) -> None:
    replica = await world.replica(IMPATIENT)
    conversation = world.conversation()
    slow = await replica.stalled()
    while not replica.counted("stream_dismissed", code="4008"):
        await world.publish(*[conversation.next("x" * 10_000) for _ in range(20)])
    slow.go_on()
    await eventually(lambda: slow.code == 4008, "the reason")
    got = seqs(slow)
    resumed = await replica.client(slow.cursor)
    await has(resumed, range(got[-1] + 1, conversation.seq + 1))
    assert got == list(range(1, got[-1] + 1))
    assert resumed.welcome == {**resumed.frames[0], "recovered": True}


async def test_a_token_that_ends_closes_the_socket(world: StreamWorld) -> None:
    replica = await world.replica()
    short, long = await replica.client(lasts=0.5), await replica.client()
    await eventually(lambda: short.code == 4001, "token expired")
    assert long.code is None


async def test_a_refused_member_is_out_and_stays_out(world: StreamWorld) -> None:
    replica = await world.replica()
    ann, bob = await replica.client(member_id="ann"), await replica.client(member_id="bob")
    replica.stream.refuse_member(world.workspace, "ann")
    await eventually(lambda: ann.code == 4003, "refused")
    replica.stream.refuse_member(world.workspace, "ann")
    assert bob.code is None


async def test_draining_sends_everybody_away_and_they_resume_on_another_replica(world: StreamWorld) -> None:
    first, second, conversation = await world.replica(), await world.replica(), world.conversation()
    clients = [await first.client() for _ in range(40)]
    await world.publish(conversation.next())
    for client in clients:
        await has(client, [1])
    await first.stream.stop()
    await world.publish(conversation.next())
    for client in clients:
        await eventually(lambda: client.code == 1001, "sent away")  # noqa: B023
        await has(await second.client(client.cursor), [2])


async def test_a_client_may_close_and_is_answered(world: StreamWorld) -> None:
    replica = await world.replica()
    client = await replica.client()
    client.send_raw(FIN | CLOSE, b"\x03\xe8")
    await eventually(lambda: client.ended, "closed")
    assert client.code == 1000
    await eventually(lambda: replica.sockets() == 0, "nobody is left")


async def test_frames_of_unknown_types_are_ignored_and_pings_answered(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    client = await replica.client()
    client.send({"type": "future", "anything": [1, 2, 3]})
    client.send_raw(FIN | PING, b"are you there")
    await eventually(lambda: client.pongs == [b"are you there"], "the pong")
    await world.publish(conversation.next())
    await has(client, [1])


ODD = {
    "no JSON": (FIN | TEXT, b"{", 4009),
    "no UTF-8": (FIN | TEXT, b'{"type":"\xff"}', 4009),
    "no object": (FIN | TEXT, b"[]", 4009),
    "no type": (FIN | TEXT, b'{"a":1}', 4009),
    "deeply nested": (FIN | TEXT, b"[" * 4_000, 4009),
    "binary": (FIN | BINARY, b"{}", 4009),
    "fragmented": (TEXT, b"{}", 4009),
    "larger than allowed": (FIN | TEXT, b'{"type":"typing"}' + b" " * 5_000, 4009),
    "far larger than allowed": (FIN | TEXT, b" " * 70_000, 1009),
}


@pytest.mark.parametrize("odd", ODD)
async def test_a_client_that_breaks_the_protocol_is_closed_and_harms_nobody(
    world: StreamWorld, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    replica, conversation = await world.replica(), world.conversation()
    client, other = await replica.client(), await replica.client()
    first_byte, payload, code = ODD[odd]
    client.send_raw(first_byte, payload)
    await eventually(lambda: client.code == code, f"closed with {code}")
    await world.publish(conversation.next())
    await has(other, [1])
    assert seqs(client) == []
    assert not [said for said in caplog.records if said.levelname == "ERROR"], "no fault of ours"


async def test_a_client_that_sends_too_many_frames_is_closed(world: StreamWorld) -> None:
    replica = await world.replica(replace(SETTINGS, client_frames=10))
    polite, chatty = await replica.client(), await replica.client()
    for client, count in ((polite, 10), (chatty, 11)):
        for _ in range(count):
            client.send({"type": "typing"})
    await eventually(lambda: chatty.code == 4029, "too many frames")
    assert polite.code is None


async def test_a_client_that_vanishes_leaves_nothing_behind(world: StreamWorld) -> None:
    replica = await world.replica()
    clients: list[StreamClient] = [await replica.client() for _ in range(5)]
    for client in clients:
        client.cut()
    await eventually(lambda: replica.sockets() == 0, "nobody is left")
