"""SIGKILL at any time loses nothing acknowledged and repeats nothing visible (DESIGN 3, I1, I2, I5, I7)."""

import asyncio
import random
import uuid
from functools import partial
from typing import Any

import pytest

from shared.testing.adapter import Adapter
from shared.testing.api import Api, Channel, insist, said, someone
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, assert_whole, kind
from shared.testing.system import System

KILLS = 5
REPLIES_BETWEEN = 10
"""Of a conversation, from one kill to the next."""


def received(events: list[dict[str, Any]], wanted: set[str]) -> list[str]:
    ids = [e["data"]["message"]["external_id"] for e in events if kind(e) == "message.received"]
    return [ident for ident in ids if ident in wanted]


@pytest.mark.timeout(600)
async def test_1000_messages_posted_three_times_while_routing_dies_five_times_count_once(
    system: System, agent: Api, channel: Channel
) -> None:
    people = [someone() for _ in range(20)]
    events = [said(people[n % 20], f"m{n}", f"{people[n % 20]}-{n}") for n in range(1000)]
    posts = events * 3
    random.Random(7).shuffle(posts)
    batches = [posts[at : at + 50] for at in range(0, 3000, 50)]
    wanted = {e["id"] for e in events}

    async with Follower(agent, system.info["stream"]) as stream:
        cutting = asyncio.create_task(cut_now_and_then(stream))

        taken: list[str] = []

        async def post(batch: list[dict[str, Any]]) -> None:
            answer = await insist(lambda: channel.post(batch), 202)
            taken.extend(answer.body["ids"])

        async def posting(some: list[list[dict[str, Any]]]) -> None:
            for at in range(0, len(some), 4):
                await asyncio.gather(*(post(batch) for batch in some[at : at + 4]))

        for at in range(0, len(batches), len(batches) // KILLS):
            known, share = len(taken), batches[at : at + len(batches) // KILLS]
            under_way = asyncio.create_task(posting(share))
            await eventually(lambda: len(taken) > known, "routing has work")  # noqa: B023
            await system.restarted("routing")
            await under_way
        everything = f"all {len(wanted)} messages on the stream"
        await eventually(lambda: set(received(stream.events, wanted)) == wanted, everything, timeout=90)
        await eventually(lambda: len(stream.welcomes) > 2, "the client was cut and resumed")
        cutting.cancel()
        assert len(received(stream.events, wanted)) == len(wanted)
        assert_whole(stream.events)
        for who in people:
            conversation = await stream.conversation_of(who)

            whole = partial(reads_whole, agent, conversation, wanted)
            await eventually(whole, f"the read model has all of {conversation}")
            thread = [(e["seq"], e["id"]) for e in await agent.thread(conversation)]
            same = partial(has_seen, stream, conversation, thread)
            await eventually(same, f"the stream has all of {conversation}, the same")


def has_seen(stream: Follower, conversation: str, thread: list[tuple[int, str]]) -> bool:
    return [(e["seq"], e["id"]) for e in stream.of(conversation) if e.get("seq")] == thread


def has_heard(adapter: Adapter, conversation: str, texts: list[str]) -> bool:
    return adapter.texts(conversation) == texts


async def reads_whole(agent: Api, conversation: str, wanted: set[str]) -> bool:
    thread = await agent.thread(conversation)
    seqs = [e["seq"] for e in thread]
    return len(received(thread, wanted)) == 50 and seqs == list(range(1, len(seqs) + 1))


async def cut_now_and_then(stream: Follower) -> None:
    while True:
        known = len(stream.welcomes)
        await asyncio.sleep(1.0)
        stream.cut()
        await eventually(lambda: len(stream.welcomes) > known, "it resumes", timeout=90)  # noqa: B023


@pytest.mark.timeout(600)
async def test_killing_any_service_loses_no_reply_and_delivers_none_twice(
    system: System, agent: Api, channel: Channel
) -> None:
    info = system.info["channel"]
    done = asyncio.Event()
    async with (
        Api(system.info["api"], system.info["tokens"]["owner"]) as owner,
        Adapter(secret=info["secret"]) as adapter,
        Follower(agent, system.info["stream"]) as stream,
    ):
        await owner.ok("PATCH", f"/v1/channels/{info['id']}", {"settings": {"outbound_url": adapter.url}})
        who = [someone() for _ in range(3)]
        for customer in who:
            await channel.say(customer, "first")
        conversations = [await stream.conversation_of(customer) for customer in who]

        spoken: dict[str, list[str]] = {conversation: [] for conversation in conversations}

        async def talk(conversation: str) -> None:
            texts = spoken[conversation]
            while not done.is_set():
                text, key = f"reply {len(texts)}", uuid.uuid4().hex
                await insist(lambda: agent.reply(conversation, text, key), 201)  # noqa: B023
                texts.append(text)
                await asyncio.sleep(0.05)

        async def goes_on() -> None:
            """Some more replies of each conversation are taken and delivered: what is killed next has work."""
            due = {conversation: len(texts) + REPLIES_BETWEEN for conversation, texts in spoken.items()}
            told = "all conversations go on"
            await eventually(
                lambda: all(len(set(adapter.texts(one))) >= count for one, count in due.items()), told, timeout=120
            )

        talks = [asyncio.create_task(talk(conversation)) for conversation in conversations]
        for service in ("routing", "gateway", "ingest", "dispatch", "routing", "dispatch", "gateway"):
            await goes_on()
            await system.restarted(service)
        await goes_on()
        done.set()
        await asyncio.gather(*talks)
        for conversation, texts in spoken.items():
            arrived = f"all {len(texts)} replies, each once, in order"
            await eventually(partial(has_heard, adapter, conversation, texts), arrived, timeout=90)
            thread = await agent.thread(conversation)
            assert [e["data"]["message"]["text"] for e in thread if kind(e) == "message.sent"] == texts
        assert not adapter.bad
        assert_whole(stream.events)
