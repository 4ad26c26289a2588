"""Typing and presence, across replicas."""

import time
import uuid
from typing import Any

import pytest

from services.gateway.stream.ephemeral import TURN_S, TYPED_AGAIN_S
from shared.contracts.events import TYPE_OF, Typing
from shared.contracts.topics import WORKSPACE_EPHEMERAL
from shared.runtime.clock import SystemClock
from shared.testing.eventually import eventually
from shared.testing.stream_client import StreamClient
from tests.integration.gateway.stream.conftest import SETTINGS, Replica, StreamWorld, has

LEASE_S = SETTINGS.presence_s


class HandClock(SystemClock):
    """Its seconds pass when a test says so; what o'clock it is it knows, because Kafka dates the records."""

    def __init__(self) -> None:
        self._seconds = time.monotonic()

    def monotonic(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        self._seconds += seconds


@pytest.fixture
def clock(world: StreamWorld) -> HandClock:
    """Of all replicas of the test."""
    world.clock = clock = HandClock()
    return clock


def ephemeral(client: StreamClient, kind: str) -> list[dict[str, Any]]:
    return [event for frame in client.of("ephemeral") if (event := frame["event"])["type"] == f"relaydesk.{kind}.v1"]


def presence(client: StreamClient, member: str) -> list[str]:
    return [event["data"]["state"] for event in ephemeral(client, "presence") if event["data"]["member"] == member]


async def is_now(replica: Replica, member: str, state: str) -> None:
    probe = replica.stream.presence_of
    await eventually(lambda: probe(replica.workspace, member) == state, f"{member} is {state}")


async def has_fresh_lease(replica: Replica, member: str, clock: HandClock) -> None:
    """The replica has read that the member is there, and not long ago."""

    def is_fresh() -> bool:
        leases = replica.stream._ephemeral._presences._leases.get((replica.workspace, member), {})
        return any(lease.until - clock.monotonic() > 2 / 3 * LEASE_S for lease in leases.values())

    await eventually(is_fresh, f"a fresh lease of {member}")


async def test_typing_is_seen_on_every_replica_and_has_no_cursor(world: StreamWorld) -> None:
    first, second, conversation = await world.replica(), await world.replica(), str(uuid.uuid4())
    ann, bob = await first.client(member_id="ann"), await second.client(member_id="bob")
    stranger = await second.client(workspace="stranger")
    ann.send({"type": "typing", "conversation_id": conversation})
    await eventually(lambda: ephemeral(bob, "typing"), "bob sees it")
    [event] = ephemeral(bob, "typing")
    assert (event["subject"], event["data"], event["workspace"]) == (conversation, {"member": "ann"}, world.workspace)
    assert not any("cursor" in frame for frame in bob.of("ephemeral"))
    assert ephemeral(stranger, "typing") == []


async def test_typing_is_passed_on_at_most_once_a_second(world: StreamWorld, clock: HandClock) -> None:
    replica, conversation = await world.replica(), str(uuid.uuid4())
    ann, bob = await replica.client(member_id="ann"), await replica.client(member_id="bob")
    for _ in range(20):
        ann.send({"type": "typing", "conversation_id": conversation})
    ann.send({"type": "typing", "conversation_id": str(uuid.uuid4())})
    await eventually(lambda: len(ephemeral(bob, "typing")) >= 2, "both conversations")
    assert len(ephemeral(bob, "typing")) == 2
    clock.advance(TYPED_AGAIN_S)
    ann.send({"type": "typing", "conversation_id": conversation})
    await eventually(lambda: len(ephemeral(bob, "typing")) >= 3, "a second later again")
    assert [event["subject"] == conversation for event in ephemeral(bob, "typing")] == [True, False, True]


async def test_who_connects_is_online_everywhere_and_who_stays_away_goes_offline(
    world: StreamWorld, clock: HandClock
) -> None:
    first, second = await world.replica(), await world.replica()
    bob = await second.client(member_id="bob")
    ann = await first.client(member_id="ann")
    for replica in (first, second):
        await is_now(replica, "ann", "online")
    await eventually(lambda: presence(bob, "ann") == ["online"], "bob is told")
    ann.cut()
    await eventually(lambda: first.sockets() == 0, "ann has left")
    clock.advance(LEASE_S + TURN_S)
    for replica in (first, second):
        await is_now(replica, "ann", "offline")
    await eventually(lambda: presence(bob, "ann") == ["online", "offline"], "bob is told")
    assert first.stream.presence_of("stranger", "ann") == "offline"


async def test_who_is_connected_stays_online_over_many_leases(world: StreamWorld, clock: HandClock) -> None:
    replica = await world.replica()
    bob, _ = await replica.client(member_id="bob"), await replica.client(member_id="ann")
    await has_fresh_lease(replica, "ann", clock)
    for _ in range(7):
        clock.advance(LEASE_S / 3 + TURN_S)
        await has_fresh_lease(replica, "ann", clock)
    assert presence(bob, "ann") == ["online"]


async def test_who_comes_back_within_the_lease_never_was_away(world: StreamWorld, clock: HandClock) -> None:
    first, second = await world.replica(), await world.replica()
    bob, _ = await first.client(member_id="bob"), await second.client(member_id="eve")
    for replica in (first, second, first, second, first):
        ann = await replica.client(member_id="ann")
        await has_fresh_lease(first, "ann", clock)
        ann.cut()
        await eventually(lambda: replica.sockets() == 1, "ann has left")  # noqa: B023
        clock.advance(LEASE_S / 2)
        for other in ("bob", "eve"):  # what either replica had to say until now is said and read
            await has_fresh_lease(first, other, clock)
    assert presence(bob, "ann") == ["online"]


async def test_a_page_may_say_that_its_member_is_away_or_leaves(world: StreamWorld) -> None:
    replica = await world.replica()
    bob, ann = await replica.client(member_id="bob"), await replica.client(member_id="ann")
    for state in ("away", "online", "offline"):
        ann.send({"type": "presence", "state": state})
        await is_now(replica, "ann", state)
    await eventually(lambda: presence(bob, "ann")[-3:] == ["away", "online", "offline"], "bob is told")


async def test_a_replica_that_starts_knows_who_is_there(world: StreamWorld) -> None:
    first = await world.replica()
    _ = await first.client(member_id="ann")
    await is_now(first, "ann", "online")
    assert (await world.replica()).stream.presence_of(world.workspace, "ann") == "online"


async def test_a_refused_member_is_offline_at_once(world: StreamWorld) -> None:
    first, second = await world.replica(), await world.replica()
    _ = await first.client(member_id="ann")
    await is_now(second, "ann", "online")
    for replica in (first, second):
        replica.stream.refuse_member(world.workspace, "ann")
    await is_now(second, "ann", "offline")


async def test_what_makes_no_sense_is_answered_and_the_socket_stays(world: StreamWorld) -> None:
    replica = await world.replica()
    client, other = await replica.client(), await replica.client(member_id="bob")
    odd: list[dict[str, object]] = [
        {"type": "typing"},
        {"type": "typing", "conversation_id": 7},
        {"type": "typing", "conversation_id": "x" * 3_000},
        {"type": "presence", "state": "invisible"},
        {"type": "presence", "state": ["online"]},
    ]
    for frame in odd:
        client.send(frame)
    await eventually(lambda: len(client.of("error")) == len(odd), "every one is answered")
    assert {frame["code"] for frame in client.of("error")} == {"INVALID"}
    assert client.code is None
    assert ephemeral(other, "typing") == []


async def test_garbage_on_the_topic_is_counted_and_harms_nobody(world: StreamWorld) -> None:
    replica = await world.replica()
    client = await replica.client()
    for value in (b"\xff", b"[]", b'{"data":{}}', b'{"data":{"member":1}}'):
        await world.publish_to(WORKSPACE_EPHEMERAL, value, (("type", TYPE_OF[Typing].encode()),))
    await eventually(lambda: replica.counted("stream_ephemeral_malformed") == 4, "counted")
    await world.publish(world.conversation().next())
    await has(client, [1])


async def test_who_cannot_take_it_now_gets_the_latest_later(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    slow, bob = await replica.stalled(), await replica.client(member_id="bob")
    while not replica.stream._hub.waiting():
        await world.publish(*[conversation.next("x" * 10_000) for _ in range(20)])
        await eventually(lambda: len(bob.events) == conversation.seq, "read")
    for state in ("away", "online", "away"):
        bob.send({"type": "presence", "state": state})
        await is_now(replica, "bob", state)
    slow.go_on()
    await eventually(lambda: presence(slow, "bob")[-1:] == ["away"], "the latest")
    assert len(presence(slow, "bob")) <= 2, "what was told before it stalled, and the latest"
