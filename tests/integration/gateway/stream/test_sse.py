"""Server-sent events: the same stream over plain HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from services.gateway.stream import StreamSettings
from shared.runtime.component import Receive, Scope, Send
from shared.runtime.http import Problem
from shared.runtime.listening import Listener
from shared.testing.event_source import EventSourceClient
from shared.testing.eventually import eventually
from tests.integration.gateway.stream.conftest import BEATING, SETTINGS, Replica, StreamWorld


class Served:
    """A replica whose server-sent events are at `url`; who asks is said in headers of the test's own."""

    def __init__(self, replica: Replica, stack: AsyncExitStack) -> None:
        self.replica, self._stack = replica, stack
        self.url = ""

    async def open(self) -> "Served":
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self._answer(scope, receive, send)

        listener = Listener(app, "127.0.0.1", 0)
        self._stack.push_async_callback(listener.close, 1.0)
        self.url = f"http://127.0.0.1:{await listener.open()}/v1/events"
        return self

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = {name.decode(): value.decode() for name, value in scope["headers"]}
        principal = self.replica.principal(said.get("member", "ann"), float(said.get("lasts", "3600")))
        await self.replica.stream.event_source(principal, said.get("last-event-id", ""))(scope, receive, send)

    async def client(self, cursor: str = "", stalled: bool = False, **headers: str) -> EventSourceClient:
        headers = {"Last-Event-ID": cursor, **headers} if cursor else headers
        connecting = EventSourceClient.connect(self.url, headers, 4096 if stalled else 0)
        client = await self._stack.enter_async_context(await connecting)
        if not stalled:
            client.go_on()
            await eventually(lambda: client.of("welcome"), "welcome")
        return client


Serve = Callable[..., Awaitable[Served]]


@pytest_asyncio.fixture
async def serve(world: StreamWorld) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def served(settings: StreamSettings = SETTINGS) -> Served:
            return await Served(await world.replica(settings), stack).open()

        yield served


def seqs(client: EventSourceClient) -> list[int]:
    return [event["seq"] for event in client.events]


async def has(client: EventSourceClient, wanted: range) -> None:
    await eventually(lambda: len(client.events) >= len(wanted), f"{len(wanted)} events")
    assert seqs(client) == list(wanted)


async def test_the_frames_are_those_of_the_websocket(world: StreamWorld, serve: Serve) -> None:
    served, conversation = await serve(), world.conversation()
    over_http, over_websocket = await served.client(), await served.replica.client()
    await world.publish(*[conversation.next(f"größe\n{number}") for number in range(300)])
    await has(over_http, range(1, 301))
    await eventually(lambda: len(over_websocket.events) == 300, "the same")
    assert over_http.of("event") == over_websocket.of("event")
    assert over_http.headers["content-type"].startswith("text/event-stream")
    assert over_http.headers["cache-control"] == "no-store"


async def cut_somewhere(client: EventSourceClient) -> int:
    """The last seq that it got."""
    await eventually(lambda: client.events, "something")
    client.cut()
    await eventually(lambda: client.ended, "cut")
    return seqs(client)[-1]


async def test_the_last_event_id_resumes_without_gap_and_repeat(world: StreamWorld, serve: Serve) -> None:
    served, conversation = await serve(), world.conversation()
    client = await served.client()
    for _ in range(5):
        await world.publish(*[conversation.next() for _ in range(20)])
        last = await cut_somewhere(client)
        client = await served.client(client.last_id)
        assert client.frames[0]["recovered"] is True
        await has(client, range(last + 1, conversation.seq + 1))


@pytest.mark.parametrize("ident", ["nonsense", "x" * 5_000])
async def test_a_bad_last_event_id_is_told_and_live_events_follow(world: StreamWorld, serve: Serve, ident: str) -> None:
    served, conversation = await serve(), world.conversation()
    client = await served.client(ident)
    await world.publish(conversation.next())
    await has(client, range(1, 2))
    assert [frame.get("reason") for frame in client.of("snapshot_required")] == ["invalid"]


async def test_heartbeats_move_the_id_on(world: StreamWorld, serve: Serve) -> None:
    client = await (await serve(BEATING)).client()
    await eventually(lambda: len(client.of("heartbeat")) >= 2, "heartbeats")
    assert client.last_id == client.of("heartbeat")[-1]["cursor"]


async def test_a_stalled_reader_is_cut_off_and_a_healthy_one_gets_everything(world: StreamWorld, serve: Serve) -> None:
    served = await serve(replace(SETTINGS, buffer_bytes=256 * 1024, stuck_s=0.5, linger_s=1.0))
    conversation, replica = world.conversation(), served.replica
    healthy, stalled = await served.client(), await served.client(stalled=True)
    while not replica.counted("stream_dismissed", code="4008"):
        await world.publish(*[conversation.next("x" * 10_000) for _ in range(20)])
        await has(healthy, range(1, conversation.seq + 1))
        assert conversation.seq < 5_000
    await eventually(lambda: len(replica.stream._front._connections) == 1, "no answer to the goodbye: cut off")
    stalled.go_on()
    await eventually(lambda: stalled.ended, "its connection is gone")
    assert not stalled.whole
    await world.publish(conversation.next())
    await has(healthy, range(1, conversation.seq + 1))


async def test_a_slow_reader_of_a_large_replay_gets_all_of_it(world: StreamWorld, serve: Serve) -> None:
    served, conversation = await serve(), world.conversation()
    first = await served.client()
    await world.publish(*[conversation.next("x" * 10_000) for _ in range(500)])
    await has(first, range(1, 501))
    cursor = first.of("welcome")[0]["cursor"]
    slow = await served.client(cursor, stalled=True)
    slow.go_on()
    await has(slow, range(1, 501))


async def test_the_end_of_the_token_ends_the_answer_and_says_why(world: StreamWorld, serve: Serve) -> None:
    served = await serve()
    short, long = await served.client(lasts="0.5"), await served.client()
    await eventually(lambda: short.ended, "the end")
    assert short.whole
    assert [frame["code"] for frame in short.of("error")] == ["UNAUTHENTICATED"]
    assert not long.ended


async def test_a_refused_member_is_out(world: StreamWorld, serve: Serve) -> None:
    served = await serve()
    ann, bob = await served.client(member="ann"), await served.client(member="bob")
    served.replica.stream.refuse_member(world.workspace, "ann")
    await eventually(lambda: ann.ended, "refused")
    assert [frame["code"] for frame in ann.of("error")] == ["DEACTIVATED"]
    assert not bob.ended


async def test_draining_ends_answers_well_and_readers_resume_elsewhere(world: StreamWorld, serve: Serve) -> None:
    first, second, conversation = await serve(), await serve(), world.conversation()
    clients = [await first.client() for _ in range(30)]
    await world.publish(conversation.next())
    for client in clients:
        await has(client, range(1, 2))
    await first.replica.stream.drain()
    await world.publish(conversation.next())
    for client in clients:
        await eventually(lambda: client.ended, "sent away")  # noqa: B023
        assert (client.whole, client.of("error")) == (True, [])
        await has(await second.client(client.last_id), range(2, 3))
    assert _refused(first) == (503, "UNAVAILABLE")


def _refused(served: Served) -> tuple[Any, ...]:
    try:
        served.replica.stream.event_source(served.replica.principal(), "")
    except Problem as problem:
        return problem.status, problem.code
    return ()


async def test_a_reader_that_leaves_leaves_nothing_behind(world: StreamWorld, serve: Serve) -> None:
    served = await serve()
    clients = [await served.client() for _ in range(5)]
    for client in clients:
        client.cut()
    await eventually(lambda: served.replica.sockets() == 0, "nobody is left")
