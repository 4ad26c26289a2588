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


async def killed(system: System, service: str) -> None:
    """SIGKILL and wait until the supervisor has started it again."""
    pid = system.kill(service)
    await eventually(lambda: system.pid(service) != pid, f"{service} has a new pid", timeout=30)


def received(events: list[dict[str, Any]], wanted: set[str]) -> list[str]:
    ids = [e["data"]["message"]["external_id"] for e in events if kind(e) == "message.received"]
    return [ident for ident in ids if ident in wanted]


@pytest.mark.timeout(240)
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

        async def post(batch: list[dict[str, Any]]) -> None:
            await insist(lambda: channel.post(batch), 202)

        async def kills() -> None:
            for _ in range(5):
                await killed(system, "routing")
                await asyncio.sleep(0.5)

        async def posting() -> None:
            for at in range(0, len(batches), 4):
                await asyncio.gather(*(post(b) for b in batches[at : at + 4]))

        await asyncio.gather(posting(), kills())
        everything = f"all {len(wanted)} messages on the stream"
        await eventually(lambda: set(received(stream.events, wanted)) == wanted, everything, timeout=60)
        cutting.cancel()
        assert len(received(stream.events, wanted)) == len(wanted)
        assert_whole(stream.events)
        assert len(stream.welcomes) > 2, "the client was cut and resumed"
        for who in people:
            conversation = await stream.conversation_of(who)

            whole = partial(reads_whole, agent, conversation, wanted)
            await eventually(whole, f"the read model has all of {conversation}", timeout=30)
            mine = [(e["seq"], e["id"]) for e in stream.of(conversation) if e.get("seq")]
            assert mine == [(e["seq"], e["id"]) for e in await agent.thread(conversation)]


def has_heard(adapter: Adapter, conversation: str, texts: list[str]) -> bool:
    return adapter.texts(conversation) == texts


async def reads_whole(agent: Api, conversation: str, wanted: set[str]) -> bool:
    thread = await agent.thread(conversation)
    seqs = [e["seq"] for e in thread]
    return len(received(thread, wanted)) == 50 and seqs == list(range(1, len(seqs) + 1))


async def cut_now_and_then(stream: Follower) -> None:
    while True:
        await asyncio.sleep(1.0)
        stream.cut()


@pytest.mark.timeout(240)
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

        async def talk(conversation: str) -> list[str]:
            texts: list[str] = []
            while not done.is_set():
                text, key = f"reply {len(texts)}", uuid.uuid4().hex
                await insist(lambda: agent.reply(conversation, text, key), 201)  # noqa: B023
                texts.append(text)
                await asyncio.sleep(0.05)
            return texts

        async def kills() -> None:
            for service in ("routing", "gateway", "ingest", "dispatch", "routing", "dispatch", "gateway"):
                await asyncio.sleep(1.0)
                await killed(system, service)
            await asyncio.sleep(2.0)
            done.set()

        talks = [asyncio.create_task(talk(conversation)) for conversation in conversations]
        await kills()
        spoken = await asyncio.gather(*talks)
        for conversation, texts in zip(conversations, spoken, strict=True):
            arrived = f"all {len(texts)} replies, each once, in order"
            await eventually(partial(has_heard, adapter, conversation, texts), arrived, timeout=60)
            thread = await agent.thread(conversation)
            assert [e["data"]["message"]["text"] for e in thread if kind(e) == "message.sent"] == texts
        assert not adapter.bad
        assert_whole(stream.events)
