"""After a disable is acknowledged no bot message begins to be handed to the adapter (DESIGN 6), on a whole system."""

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from shared.contracts.ids import document_key
from shared.contracts.outbound import BotFence
from shared.contracts.topics import CHANNEL_OUTBOUND
from shared.contracts.wire import encode
from shared.testing.adapter import Adapter
from shared.testing.api import Api, Channel
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, assert_whole
from shared.testing.scale import at_scale
from shared.testing.system import System
from tests.faults.takeovers import Stage, Takeover

log = logging.getLogger(__name__)

TAKEOVERS = at_scale(full=2000, reduced=200)
AT_ONCE = 80
CHANNELS = 4
"""A channel's bot is asked 50 questions at the same time."""
KILLED = ("dispatch", "dispatch", "routing")
KILLS_EVERY_S = (1.5, 4.0)
FENCES_AT_ONCE = 600
CAUGHT_UP_FOR_S = 1.5


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Adapter() as adapter, Adapter() as bot:
        stage = Stage(random.Random(2000), adapter, bot)
        stage.set()
        yield stage


@pytest_asyncio.fixture
async def channels(system: System, stage: Stage) -> AsyncIterator[list[Channel]]:
    """With the stage's bot and adapter."""
    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(Api(system.info["api"], system.info["tokens"]["owner"]))
        public = await stack.enter_async_context(Api(system.info["api"], None))
        wanted = {
            "kind": "webhook",
            "name": "takeovers",
            "settings": {"outbound_url": stage.adapter.url},
            "bot": {"kind": "webhook", "settings": {"url": stage.bot.url}},
        }
        made = [await owner.ok("POST", "/v1/channels", wanted) for _ in range(CHANNELS)]
        yield [Channel(public, one["id"], one["secret"]) for one in made]


@pytest.mark.timeout(at_scale(full=2400, reduced=900))
async def test_no_bot_message_begins_after_the_acknowledged_disable(
    system: System, agent: Api, stage: Stage, channels: list[Channel]
) -> None:
    killed: list[str] = []
    async with Follower(agent, system.info["stream"]) as stream:
        troubles = [asyncio.create_task(trouble) for trouble in (kills(system, killed), backlogs(system))]
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with turn:
                await Takeover(stage, agent, channels[number % CHANNELS], stream).play()

        try:
            await asyncio.gather(*(one(number) for number in range(TAKEOVERS)))
        finally:
            for trouble in troubles:
                trouble.cancel()
            await asyncio.gather(*troubles, return_exceptions=True)
        await eventually(stage.all_replied, "every reply has arrived", timeout=180, every=0.3)
        await eventually(partial(nothing_open, agent, channels), "every delivery has ended", timeout=180, every=0.3)
        assert_whole(stream.events)
    spoken = stage.spoken()
    silenced = [await count(agent, channel, "failed") for channel in channels]
    log.info(
        "%d takeovers, %d kills: %d attempts of %d bot messages, %d late; the closest began %.0f ms before the answer; "
        "at least %d silenced",
        *(len(stage.acknowledged), len(killed), len(spoken), len({seen.id for seen in spoken}), len(stage.late())),
        *(stage.closest_s() * 1000, sum(silenced)),
    )
    assert stage.late() == []
    assert len(stage.acknowledged) == TAKEOVERS
    assert min(len({seen.id for seen in spoken}), sum(silenced)) > TAKEOVERS / 40, "both happen"
    assert set(KILLED) == set(killed)
    for conversation, texts in stage.agents_texts.items():
        assert [text for text in stage.adapter.texts(conversation) if not text.startswith("bot ")] == texts


async def kills(system: System, killed: list[str]) -> None:
    """The next one when the one before is ready again, and some more time after that for work."""
    dice = random.Random(7)
    while True:
        for service in KILLED:
            await asyncio.sleep(dice.uniform(*KILLS_EVERY_S))
            killed.append(service)
            await system.restarted(service)


async def backlogs(system: System) -> None:
    """Dispatch gets behind, again and again: fences of conversations that nobody has lie before those that count. In
    between it has time in which bots may speak, however slow the machine is."""
    kafka = system.info["engines"]["kafka"]
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=5) as producer,
        AIOKafkaConsumer(bootstrap_servers=kafka, group_id="dispatch", enable_auto_commit=False) as group,
    ):
        while True:
            records = [foreign_fence() for _ in range(FENCES_AT_ONCE)]
            sent = [await producer.send(CHANNEL_OUTBOUND, value, key) for key, value in records]
            ends = {one.topic_partition: one.offset + 1 for one in await asyncio.gather(*sent)}
            group.assign(list(ends))
            await eventually(partial(has_committed, group, ends), "dispatch catches up", timeout=60, every=0.1)
            await asyncio.sleep(CAUGHT_UP_FOR_S)


async def has_committed(group: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    return all([(await group.committed(at) or 0) >= end for at, end in ends.items()])


def foreign_fence() -> tuple[bytes, bytes]:
    fence = BotFence(workspace="elsewhere", conversation_id=str(uuid.uuid4()), bot_epoch=1)
    return document_key(fence.workspace, fence.conversation_id).encode(), encode(fence)


async def nothing_open(agent: Api, channels: list[Channel]) -> bool:
    return sum([await count(agent, channel, "open") for channel in channels]) == 0


async def count(agent: Api, channel: Channel, state: str) -> int:
    """Up to 200."""
    answer = await agent.call("GET", f"/v1/deliveries?state={state}&channel_id={channel.ident}&limit=200")
    return len(answer.body["items"]) if answer.status == 200 else 999
