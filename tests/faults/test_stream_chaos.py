"""Clients of the live stream that are cut all the time see what a fresh snapshot shows (DESIGN 8): a whole system."""

import asyncio
import logging
import random
import uuid
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
import pytest

from relaydesk_stream import Stream, Ticket, Tickets, Timing
from shared.testing.api import Api, Channel, insist, said, someone
from shared.testing.chaos import ChaosProxy, Habits
from shared.testing.eventually import eventually
from shared.testing.follower import Follower
from shared.testing.scale import at_scale
from shared.testing.system import System

log = logging.getLogger(__name__)

CLIENTS = at_scale(full=200, reduced=25)
LOAD_S = at_scale(full=60.0, reduced=6.0)
CONVERSATIONS = 10
MESSAGES_A_ROUND = 3
ROUND_S = 0.25
CAUGHT_UP_WITHIN_S = 60.0
ROUGH = Habits(every=at_scale(full=40_000, reduced=10_000), stall_s=1.0)
QUICK = Timing(first_wait_s=0.1, longest_wait_s=1.0, connect_s=10.0)

Thread = list[tuple[int, str]]


@dataclass
class Client:
    """Keeps each event that changed a conversation, as it came: what is missing or comes twice shows."""

    tickets: Tickets
    proxy: ChaosProxy
    cursor: str
    threads: dict[str, Thread] = field(default_factory=lambda: defaultdict(list))
    heard: int = 0

    async def ticket(self, session: aiohttp.ClientSession) -> Ticket:
        return Ticket((await self.tickets(session)).ticket, self.proxy.url)

    async def run(self) -> None:
        """Raises GapUnfilled where the stream can't go on: nobody reads a snapshot here."""
        async with Stream(self.ticket, self.cursor, timing=QUICK) as stream:
            async for event in stream:
                self.heard += 1
                if event.seq is not None:
                    self.threads[event.subject].append((event.seq, str(event.content["id"])))


@pytest.mark.timeout(600)
async def test_clients_cut_at_random_while_the_gateway_dies_twice_have_what_a_snapshot_has(
    system: System, agent: Api, channel: Channel
) -> None:
    info = system.info
    tickets = Tickets(info["api"], info["tokens"]["agent"])
    cursor = (await agent.ok("GET", "/v1/conversations?limit=1"))["stream_cursor"]
    people = [someone() for _ in range(CONVERSATIONS)]
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(ChaosProxy(info["stream"], 5, ROUGH))
        follower = await stack.enter_async_context(Follower(agent, info["stream"], cursor))
        clients = [Client(tickets, proxy, cursor) for _ in range(CLIENTS)]
        running = [asyncio.create_task(client.run()) for client in clients]
        stack.callback(lambda: [task.cancel() for task in running])
        for who in people:
            await insist(lambda: channel.post([said(who, "Hello?", f"{who}-first")]), 202)  # noqa: B023
        conversations = [await follower.conversation_of(who) for who in people]
        enough = asyncio.Event()
        talking = asyncio.create_task(talk(agent, channel, people, conversations, enough))
        await asyncio.gather(gateway_dies_twice(system, clients), asyncio.sleep(LOAD_S))
        await eventually(lambda: proxy.incidents["cut"] > CLIENTS / 2, "many were cut besides", timeout=120)
        enough.set()
        sent = await talking
        proxy.calm = True
        snapshot = await settled(agent, conversations, sent + CONVERSATIONS)

        def caught_up() -> bool:
            for task in running:
                if task.done():
                    task.result()
            return all(len(client.threads[one]) >= len(snapshot[one]) for client in clients for one in snapshot)

        try:
            await eventually(caught_up, "all clients have caught up", timeout=CAUGHT_UP_WITHIN_S, every=0.1)
        except AssertionError:
            lacking = [lacks for client in clients if (lacks := missing(client, snapshot))]
            log.warning("%d clients lack events, the first of them: %s", len(lacking), lacking[:1])
            raise
        log.info(
            "%d clients, %d connections, %s; %d conversations, %d events in each client",
            *(CLIENTS, proxy.connections, proxy.incidents, CONVERSATIONS, sum(map(len, snapshot.values()))),
        )
        for client in clients:
            assert {one: client.threads[one] for one in snapshot} == snapshot
        assert proxy.connections >= 3 * CLIENTS, "each gateway that died cut all of them"


async def gateway_dies_twice(system: System, clients: list[Client]) -> None:
    """When each client hears something, and so is connected to the one that dies."""
    for _ in range(2):
        await asyncio.sleep(LOAD_S / 4)
        known = [client.heard for client in clients]
        all_hear = partial(hear_more, clients, known)
        await eventually(all_hear, "each client is connected", timeout=120, every=0.05)
        await system.restarted("gateway")


def hear_more(clients: list[Client], known: list[int]) -> bool:
    return all(client.heard > before for client, before in zip(clients, known, strict=True))


async def talk(agent: Api, channel: Channel, people: list[str], conversations: list[str], enough: asyncio.Event) -> int:
    """Customers write and agents reply until it is enough; -> how many messages were accepted."""
    dice, sent = random.Random(11), 0
    while not enough.is_set():
        batch = [said(dice.choice(people), "x" * dice.randrange(800)) for _ in range(MESSAGES_A_ROUND)]
        await insist(lambda: channel.post(batch), 202)  # noqa: B023
        conversation, key = dice.choice(conversations), uuid.uuid4().hex
        await insist(lambda: agent.reply(conversation, "Reply", key), 201)  # noqa: B023
        sent += len(batch) + 1
        await asyncio.sleep(ROUND_S)
    return sent


async def settled(agent: Api, conversations: list[str], messages: int) -> dict[str, Thread]:
    """The snapshot once it has all accepted messages: each conversation's events, as the API lists them."""

    async def whole() -> dict[str, Thread] | None:
        threads = {one: await agent.thread(one) for one in conversations}
        said_so_far = sum(is_message(event) for thread in threads.values() for event in thread)
        assert said_so_far <= messages, "a message was taken twice"
        if said_so_far < messages:
            return None
        listed = {item["id"]: item for item in (await agent.ok("GET", "/v1/conversations?limit=200"))["items"]}
        assert {one: listed[one]["seq"] for one in threads} == {one: t[-1]["seq"] for one, t in threads.items()}
        return {one: [(event["seq"], event["id"]) for event in thread] for one, thread in threads.items()}

    snapshot = await eventually(whole, f"the read model has all {messages} messages", timeout=90)
    for thread in snapshot.values():
        assert [seq for seq, _ in thread] == list(range(1, len(thread) + 1))
    return snapshot


def is_message(event: dict[str, Any]) -> bool:
    return event["type"] in ("relaydesk.message.received.v1", "relaydesk.message.sent.v1")


def missing(client: Client, snapshot: dict[str, Thread]) -> dict[str, list[int]]:
    """The seqs of each conversation that this client lacks."""
    lacks = {one: {seq for seq, _ in thread} - {s for s, _ in client.threads[one]} for one, thread in snapshot.items()}
    return {one: sorted(seqs) for one, seqs in lacks.items() if seqs}
