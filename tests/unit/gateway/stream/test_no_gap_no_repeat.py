"""I5 over any history: cuts, slow readers, redeliveries, restarts, a ring far too small, a log read in tiny blocks."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.stream import frames
from services.gateway.stream.subscriber import Stage
from tests.unit.gateway.stream.replica import SMALL, Client, Log, Replica, settle

WORKSPACES = ("acme", "other")
DISTANCE = 8
Step = tuple[Any, ...]

who = st.integers(0, 3)
publish = st.tuples(st.just("publish"), st.sampled_from(WORKSPACES), st.sampled_from("cde"))
private = st.tuples(st.just("private"), st.sampled_from(("agent:ann", "agent:bob", "bot")), st.sampled_from("cde"))
redeliver = st.tuples(st.just("redeliver"), st.integers(1, DISTANCE))
missed = st.lists(st.one_of(publish, publish, private, redeliver), min_size=3, max_size=25)
steps = st.lists(
    st.one_of(
        publish,
        redeliver,
        st.tuples(st.just("read"), st.integers(1, 10)),
        st.tuples(st.just("miss"), who, missed, st.integers(1, 30), st.integers(1, 800)),
        st.tuples(st.just("cut"), who),
        st.tuples(st.just("connect"), who),
        st.tuples(st.just("take"), who, st.integers(1, 800)),
        st.tuples(st.just("turn"), st.integers(1, 30)),
        st.tuples(st.just("beat"), who, st.integers(1, 5)),
        st.tuples(st.just("restart"), st.integers(0, 40)),
    ),
    min_size=5,
    max_size=60,
)
blocks = st.sampled_from((3, 8, 20))
"""Smaller than the ring, a little and much larger."""


class World:
    def __init__(self, block: int, whole_look_back: bool, slow_writes: bool = False) -> None:
        self.log = Log()
        self.clock_step = 0.001 if slow_writes else 0.0
        self.settings = replace(SMALL, backfill=replace(SMALL.backfill, block=block))
        self.whole_look_back = whole_look_back
        self.clients = [Client("acme", "ann"), Client("acme", "bob"), Client("other", "ann"), Client("acme", "ann")]

    def begin(self) -> None:
        self.replica = Replica(self.log, self.settings)
        self.replica.clock.step = self.clock_step
        for client in self.clients:
            client.connect(self.replica)
            client.take()

    async def do(self, step: Step) -> None:
        name, *arguments = step
        done = getattr(self, name)(*arguments)
        if done is not None:
            await done

    def publish(self, workspace: str, conversation: str) -> None:
        self.log.publish(workspace, conversation)

    def private(self, tag: str, conversation: str) -> None:
        self.log.publish("acme", conversation, audience=tag)

    def redeliver(self, distance: int) -> None:
        self.log.redeliver(distance)

    def read(self, count: int) -> None:
        self.replica.read(count)

    def cut(self, number: int) -> None:
        self.clients[number].cut()

    def connect(self, number: int) -> None:
        self._reconnect(self.clients[number])

    def take(self, number: int, size: int) -> None:
        self.clients[number].take(size)

    def beat(self, number: int, count: int) -> None:
        """Some events, a heartbeat, and the line is cut: its cursor must not be ahead of what was written."""
        client = self.clients[number]
        for _ in range(count):
            self.log.publish(client.workspace, "c")
            self.replica.read()
        subscriber = client.subscriber
        if client.replica and subscriber and subscriber.stage is Stage.LIVE and not subscriber.congested:
            client.write(frames.heartbeat(self.replica.catch_up.cursor_of(subscriber)))
            client.take()
            client.cut()

    async def turn(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    def _reconnect(self, client: Client) -> None:
        if client.replica is None:
            client.connect(self.replica)

    async def miss(self, number: int, missed: list[Step], read: int, taken: int) -> None:
        """Away while things happen, then back, and away again in the middle of what it missed."""
        client = self.clients[number]
        client.cut()
        for step in missed:
            await self.do(step)
        self.replica.read(read)
        self._reconnect(client)
        await settle()
        client.take(taken)
        client.cut()
        self._reconnect(client)

    async def restart(self, look_back: int) -> None:
        """Everybody is cut off; the new replica listens only when it has caught up."""
        for client in self.clients:
            client.cut()
        self.replica.feed.stop()
        await self.replica.backfill.stop()
        start = 0 if self.whole_look_back else max(0, self.log.end - look_back)
        self.replica = Replica(self.log, self.settings, start)
        self.replica.clock.step = self.clock_step
        self.replica.read()

    async def finish(self) -> None:
        self.replica.read()
        for _ in range(1_000):
            for client in self.clients:
                self._reconnect(client)
                client.take()
            await settle()
            if all(self.is_done(client) for client in self.clients) and self.replica.hub.held_for() is None:
                break
        await self.replica.backfill.stop()

    def is_done(self, client: Client) -> bool:
        return (
            client.replica is not None and client.buffered() == 0 and client.subscriber in _live(self.replica, client)
        )

    def expected(self, client: Client) -> list[tuple[str, int]]:
        visible = [
            self.log.records[offset]
            for offset in self.log.firsts
            if (one := self.log.records[offset]).key == client.workspace.encode()
            and one.headers.get("audience", b"").decode() in ("", f"agent:{client.member_id}")
        ]
        return [(one.headers["subject"].decode(), int(one.headers["seq"])) for one in visible]


def _live(replica: Replica, client: Client) -> set[object]:
    assert client.subscriber is not None
    return set(replica.hub.room(client.subscriber)._live)


def play(world: World, script: list[Step], check: Callable[[World], None]) -> None:
    async def run() -> None:
        world.begin()
        for step in script:
            await world.do(step)
        await world.finish()
        check(world)

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


def each_event_once_in_order(world: World) -> None:
    for client in world.clients:
        assert client.events == world.expected(client)
        assert not client.of("snapshot_required")


def each_event_once_in_order_for_a_client_that_ignores_seqs_it_has(world: World) -> None:
    for client in world.clients:
        last: dict[str, int] = {}
        fresh = []
        for conversation, seq in client.events:
            if seq > last.get(conversation, 0):
                last[conversation] = seq
                fresh.append((conversation, seq))
        assert fresh == world.expected(client)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, blocks, st.booleans())
def test_a_client_gets_each_event_once_and_in_order(script: list[Step], block: int, slow_writes: bool) -> None:
    play(World(block, whole_look_back=True, slow_writes=slow_writes), script, each_event_once_in_order)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, blocks)
def test_beyond_the_look_back_a_client_that_ignores_seqs_it_has_loses_nothing(script: list[Step], block: int) -> None:
    play(World(block, whole_look_back=False), script, each_event_once_in_order_for_a_client_that_ignores_seqs_it_has)


def test_the_property_notices_a_ring_that_drops_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    from services.gateway.stream.ring import Ring

    whole = Ring.append

    def leaky(self: Ring, entry: object) -> None:
        whole(self, entry)  # type: ignore[arg-type]
        if self.last == 2:
            self._by_workspace["acme"].entries.pop()

    monkeypatch.setattr(Ring, "append", leaky)
    script: list[Step] = [("cut", 0), *[("publish", "acme", "c")] * 4, ("read", 4), ("connect", 0)]
    with pytest.raises(AssertionError):
        play(World(4, whole_look_back=True), script, each_event_once_in_order)
