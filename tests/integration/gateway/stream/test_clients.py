"""The published clients on a real stream, behind a proxy that cuts, stalls and delays."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from relaydesk_stream import Forbidden, GapUnfilled, Handlers, SnapshotRequired, StateChange, Stream, Ticket, Timing
from services.gateway.stream.backfill import BackfillSettings
from shared.contracts.events import CloudEvent
from shared.testing.browser import Page, chromium, page
from shared.testing.chaos import ChaosProxy, Habits
from shared.testing.eventually import eventually
from tests.integration.gateway.stream.conftest import BEATING, SETTINGS, Conversation, Replica, StreamWorld

FORGETFUL = replace(SETTINGS, ring_entries=5, backfill=BackfillSettings(block=40, overlap=40, parallel=2))
"""A stream that knows few repeats: what it lets through, clients must leave out."""

ROUGH = Habits(every=8_000)
QUICK = Timing(first_wait_s=0.02, longest_wait_s=0.3, connect_s=20.0)
CLIENTS = Path(__file__).resolve().parents[4] / "clients" / "js"
needs_browser = pytest.mark.skipif(chromium() is None, reason="no chromium on this machine: apt-get install chromium")


@dataclass
class Desk:
    """Gives tickets that lead through the proxy. `lasts`: seconds that the token behind the next tickets lasts."""

    replica: Replica
    proxy: ChaosProxy
    lasts: float = 3600.0
    tickets: int = 0

    def ticket(self) -> str:
        self.tickets += 1
        return self.replica.stream.ticket(self.replica.principal(lasts=self.lasts)).ticket

    async def __call__(self, session: aiohttp.ClientSession) -> Ticket:
        return Ticket(self.ticket(), self.proxy.url)

    async def answer(self, request: web.Request) -> web.Response:
        return web.json_response({"ticket": self.ticket(), "url": self.proxy.url})


@asynccontextmanager
async def desk(replica: Replica, seed: int = 1, calm: bool = True) -> AsyncIterator[Desk]:
    address = replica.stream.ticket(replica.principal()).url
    async with ChaosProxy(address, seed, ROUGH) as proxy:
        proxy.calm = calm
        yield Desk(replica, proxy)


async def traffic(world: StreamWorld, conversations: list[Conversation], rounds: int, seed: int) -> None:
    """Events of all conversations, and now and then old ones again, as after a crash of the producer."""
    dice, sent = random.Random(seed), []
    for number in range(rounds):
        batch = [one.next("x" * dice.randrange(800)) for one in conversations for _ in range(dice.randrange(3))]
        sent += batch
        again = sent[:10] if number % 10 == 9 else []
        await world.publish(*batch, *again)
        await asyncio.sleep(0.01)


async def missed(world: StreamWorld, source: Desk, *events: CloudEvent) -> None:
    """Published and heard by the server while no client can connect."""

    def heard() -> float:
        return source.replica.counted("stream_events") + source.replica.counted("stream_repeats")

    before = heard()
    with source.proxy.away():
        await world.publish(*events)
        await eventually(lambda: heard() == before + len(events), "the server has them")


def folded(events: list[dict[str, Any]]) -> dict[str, list[int]]:
    lists: dict[str, list[int]] = {}
    for event in events:
        lists.setdefault(event["subject"], []).append(event["seq"])
    return lists


def whole(conversations: list[Conversation]) -> dict[str, list[int]]:
    return {one.ident: list(range(1, one.seq + 1)) for one in conversations if one.seq}


class Reader:
    """Keeps what it has handled. It fails on some events half way, and a new stream goes on where it was."""

    def __init__(self, source: Desk, fails: float = 0.0, handlers: Handlers | None = None) -> None:
        self._source, self._fails, self._handlers = source, fails, handlers
        self._dice = random.Random(7)
        self.events: list[dict[str, Any]] = []
        self.states: list[StateChange] = []
        self.cursor = ""

    async def run(self) -> None:
        handlers = self._handlers or Handlers(on_state=self.states.append)
        while True:
            async with Stream(self._source, self.cursor, handlers, QUICK) as stream:
                with contextlib.suppress(InterruptedError):
                    async for event in stream:
                        await self._handle(event.content)
                self.cursor = stream.cursor

    async def _handle(self, event: dict[str, Any]) -> None:
        if self._dice.random() < self._fails:
            raise InterruptedError
        self.events.append(event)


@asynccontextmanager
async def reading(reader: Reader) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(reader.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def dismissed(source: Desk, has_noticed: Callable[[], Awaitable[bool]]) -> None:
    """Refused again and again, as the directory does it: the client may just be on its way back."""

    async def probe() -> bool:
        source.replica.stream.refuse_member(source.replica.workspace, "ann")
        return await has_noticed()

    await eventually(probe, "the client has noticed", every=0.2)


async def live(reader: Reader) -> None:
    await eventually(lambda: any(change.state == "live" for change in reader.states), "live")


@pytest.mark.parametrize("seed", [1, 2])
async def test_under_chaos_python_gets_each_event_once_and_in_order(world: StreamWorld, seed: int) -> None:
    replica = await world.replica(BEATING)
    conversations = [world.conversation() for _ in range(5)]
    async with desk(replica, seed) as source:
        reader = Reader(source, fails=0.005)
        async with reading(reader):
            await live(reader)
            source.proxy.calm = False
            await traffic(world, conversations, 300, seed)
            source.proxy.calm = True
            await eventually(lambda: len(reader.events) >= sum(c.seq for c in conversations), "all events")
        assert folded(reader.events) == whole(conversations)
        assert source.proxy.incidents["cut"] > 3 and source.proxy.incidents["stall"] > 0, source.proxy.incidents


async def test_python_leaves_out_what_the_server_no_longer_knows_as_a_repeat(world: StreamWorld) -> None:
    replica = await world.replica(FORGETFUL)
    async with desk(replica) as source:
        reader = Reader(source)
        async with reading(reader):
            await live(reader)
            first, second = world.conversation(), world.conversation()
            old = [first.next() for _ in range(10)]
            await world.publish(*old, *[second.next() for _ in range(200)])
            await eventually(lambda: len(reader.events) == 210, "the first events")
            await missed(world, source, *old, *[second.next() for _ in range(200)])
            await eventually(lambda: len(reader.events) >= 410, "what came meanwhile")
        assert folded(reader.events) == whole([first, second])
        assert replica.counted("stream_resumes", outcome="kafka") >= 1


async def test_a_python_reader_that_fails_on_an_event_gets_it_again(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    async with desk(replica) as source:
        async with Stream(source, timing=QUICK) as stream:
            waiting = asyncio.ensure_future(anext(stream))
            await eventually(lambda: stream.cursor, "welcome")
            await world.publish(*[conversation.next() for _ in range(3)])
            assert [(await waiting).seq, (await anext(stream)).seq] == [1, 2]
            cursor = stream.cursor
        async with Stream(source, cursor, timing=QUICK) as stream:
            assert (await anext(stream)).seq == 2


async def test_a_deactivated_member_ends_the_python_stream(world: StreamWorld) -> None:
    replica = await world.replica()
    async with desk(replica) as source:
        reader = Reader(source)
        async with reading(reader) as task:
            await live(reader)

            async def has_ended() -> bool:
                return task.done()

            await dismissed(source, has_ended)
            with pytest.raises(Forbidden):
                await task


async def test_python_asks_for_a_new_ticket_when_its_token_has_ended(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    async with desk(replica) as source:
        source.lasts = 0.5
        reader = Reader(source)
        async with reading(reader):
            await live(reader)
            await eventually(lambda: 4001 in [change.code for change in reader.states], "4001")
            source.lasts = 3600.0
            await world.publish(conversation.next())
            await eventually(lambda: reader.events, "an event on the new ticket")
        assert source.tickets >= 2


async def test_a_gap_is_told_to_python_even_where_the_connection_is_lost_just_before(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    told: list[SnapshotRequired] = []

    async def snapshot(gap: SnapshotRequired) -> None:
        told.append(gap)

    async with desk(replica) as source:
        source.proxy.cut_before = b'"snapshot_required"'
        reader = Reader(source, handlers=Handlers(on_snapshot_required=snapshot))
        reader.cursor = "lost"
        async with reading(reader):
            await eventually(lambda: told, "the gap is told")
            await world.publish(conversation.next())
            await eventually(lambda: reader.events, "live events follow")
        assert [gap.reason for gap in told] == ["invalid"]
        assert source.proxy.connections >= 2, "the first one was cut"
        async with Stream(source, "lost", timing=QUICK) as stream:
            with pytest.raises(GapUnfilled):
                await anext(stream)


PAGE = """<!doctype html><title>a client</title><script type="module">
import { RelaydeskStream } from "/clients/relaydesk-stream.js";
Object.assign(window, { events: [], states: [], gaps: [], fails: 0 });
window.begin = (cursor) => {
  window.stream = new RelaydeskStream({
    ticket: async () => (await fetch("/v1/stream/ticket", { method: "POST" })).json(),
    cursor,
    onEvent: async (event) => {
      if (Math.random() < 0.1) await new Promise((later) => setTimeout(later, 1));
      if (Math.random() < window.fails) throw new Error("on purpose");
      window.events.push({ subject: event.subject, seq: event.seq });
    },
    onSnapshotRequired: (gap) => void window.gaps.push(gap.reason),
    onState: (state, { code }) => window.states.push([state, code ?? null]),
    firstWaitMs: 20, longestWaitMs: 300, connectMs: 20000,
  }).start();
};
window.ready = true;
</script>"""


@asynccontextmanager
async def browsing(source: Desk, cursor: str = "") -> AsyncIterator[Page]:
    """A page of ours with the published client; connected."""

    async def shown(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", shown)
    app.router.add_post("/v1/stream/ticket", source.answer)
    app.router.add_static("/clients", CLIENTS)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with page() as tab:
            await tab.open(f"http://127.0.0.1:{runner.addresses[0][1]}/")
            await tab.until("window.ready", "the module is there")
            await tab.run(f"window.begin({json.dumps(cursor)})")
            await tab.until("window.states.some(([state]) => state === 'live')", "live")
            yield tab
    finally:
        await runner.cleanup()


async def has_all(tab: Page, count: int) -> list[dict[str, Any]]:
    await tab.until(f"window.events.length >= {count}", f"{count} events")
    events: list[dict[str, Any]] = await tab.run("window.events")
    return events


@needs_browser
async def test_under_chaos_javascript_gets_each_event_once_and_in_order(world: StreamWorld) -> None:
    replica = await world.replica(BEATING)
    conversations = [world.conversation() for _ in range(5)]
    async with desk(replica, 3) as source, browsing(source) as tab:
        await tab.run("void (window.fails = 0.01)")
        source.proxy.calm = False
        await traffic(world, conversations, 300, 3)
        source.proxy.calm = True
        assert folded(await has_all(tab, sum(c.seq for c in conversations))) == whole(conversations)
        assert source.proxy.incidents["cut"] > 3, source.proxy.incidents


@needs_browser
async def test_javascript_leaves_out_what_the_server_no_longer_knows_as_a_repeat(world: StreamWorld) -> None:
    replica = await world.replica(FORGETFUL)
    first, second = world.conversation(), world.conversation()
    async with desk(replica) as source, browsing(source) as tab:
        old = [first.next() for _ in range(10)]
        await world.publish(*old, *[second.next() for _ in range(200)])
        await has_all(tab, 210)
        await missed(world, source, *old, *[second.next() for _ in range(200)])
        assert folded(await has_all(tab, 410)) == whole([first, second])
        assert replica.counted("stream_resumes", outcome="kafka") >= 1


@needs_browser
async def test_javascript_stops_on_4003_and_takes_a_new_ticket_on_4001(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    async with desk(replica) as source:
        source.lasts = 0.5
        async with browsing(source) as tab:
            await tab.until("window.states.some(([, code]) => code === 4001)", "4001")
            source.lasts = 3600.0
            await world.publish(conversation.next())
            await has_all(tab, 1)

            async def has_stopped() -> bool:
                return bool(await tab.run("window.states.at(-1).join() === 'stopped,4003'"))

            await dismissed(source, has_stopped)


@needs_browser
async def test_a_gap_is_told_to_javascript_even_where_the_connection_is_lost_just_before(world: StreamWorld) -> None:
    replica, conversation = await world.replica(), world.conversation()
    async with desk(replica) as source:
        source.proxy.cut_before = b'"snapshot_required"'
        async with browsing(source, "lost") as tab:
            await tab.until("window.gaps.join() === 'invalid'", "the gap is told")
            await world.publish(conversation.next())
            await has_all(tab, 1)
            assert source.proxy.connections >= 2, "the first one was cut"
