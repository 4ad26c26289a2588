"""Kafka, MongoDB or S3 gone: readiness off, HTTP 503, no crash loop; back by itself, and nothing is lost."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
import pytest
import pytest_asyncio

from shared.testing.api import Answer, Api, Channel, insist, probed, said, someone
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, assert_whole
from shared.testing.system import System


@pytest_asyncio.fixture
async def agent(system: System) -> AsyncIterator[Api]:
    """Who wants to know what is answered meanwhile."""
    async with Api(system.info["api"], system.info["tokens"]["agent"]) as api:
        yield api


@pytest_asyncio.fixture
async def channel(system: System) -> AsyncIterator[Channel]:
    async with Api(system.info["api"], None) as public:
        yield Channel(public, system.info["channel"]["id"], system.info["channel"]["secret"])


@contextmanager
def frozen(system: System, engine: str) -> Iterator[None]:
    """The engine's process stopped where it stands: connections stay open and nobody answers."""
    pid = int(system.info["engines"]["pids"][engine])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def readiness(system: System, service: str) -> int:
    return await probed(system.info["services"][service]["probe"])


async def liveness(system: System, service: str) -> int:
    return await probed(system.info["services"][service]["probe"], "/healthz")


def pids(system: System) -> dict[str, int]:
    return {name: service["pid"] for name, service in system.info["services"].items()}


async def becomes(system: System, service: str, status: int) -> None:
    async def has_become() -> bool:
        return await readiness(system, service) == status

    await eventually(has_become, f"{service} answers /readyz with {status}", timeout=60, every=0.2)


async def posted(channel: Channel, event: dict[str, object]) -> Answer:
    try:
        return await channel.post([event])
    except (TimeoutError, aiohttp.ClientError):
        return Answer(0, None, {})


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("engine", "services"),
    [("kafka", ("ingest", "routing", "gateway", "dispatch")), ("mongo", ("ingest", "routing", "gateway", "dispatch"))],
)
async def test_an_engine_that_hangs_is_answered_503_and_survived(
    system: System, agent: Api, channel: Channel, engine: str, services: tuple[str, ...]
) -> None:
    before, who = pids(system), someone()
    async with Follower(agent, system.info["stream"]) as stream:
        before_that = said(who, "before")
        await insist(lambda: channel.post([before_that]), 202)
        conversation = await stream.conversation_of(who)
        event = said(who, "during")
        with frozen(system, engine):
            attempt = asyncio.create_task(posted(channel, event))
            for service in services:
                await becomes(system, service, 503)
                assert await liveness(system, service) == 200
            assert (await attempt).status in (503, 202)
            assert (await agent.reply(conversation, "into the void", key=f"void-{engine}-{who}")).status in (503, 202)
            unheard_of = await agent.call("GET", f"/v1/conversations/{uuid.uuid4()}")
            assert unheard_of.status == 503, "whether it is there can't be known"
        for service in services:
            await becomes(system, service, 200)

        async def accepted() -> bool:
            return (await posted(channel, event)).status == 202

        await eventually(accepted, "the same message is taken again", timeout=60, every=0.5)

        async def replied() -> bool:
            return (await agent.reply(conversation, "into the void", key=f"void-{engine}-{who}")).status == 201

        await eventually(replied, "the same reply succeeds", timeout=60, every=0.5)
        await eventually(
            lambda: stream.texts(conversation, "message.received") == ["before", "during"],
            "each message once",
        )
        await eventually(lambda: stream.texts(conversation, "message.sent") == ["into the void"], "the reply once")
        assert_whole(stream.events)
    assert pids(system) == before, "no service was restarted"


@pytest.mark.timeout(600)
async def test_a_store_that_hangs_makes_media_unready_and_nobody_else(system: System) -> None:
    before = pids(system)
    with frozen(system, "s3"):
        await becomes(system, "media", 503)
        assert await liveness(system, "media") == 200
        await becomes(system, "gateway", 200)
    await becomes(system, "media", 200)
    assert pids(system) == before
