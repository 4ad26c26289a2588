"""What docs/operations.md says of lost engines, rehearsed."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.testing.adapter import Adapter
from shared.testing.api import Api, Channel, insist, someone
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, assert_whole
from shared.testing.system import System, free_port_base, launch, stop, wait_ready

pytestmark = pytest.mark.timeout(240)


@dataclass
class Place:
    """An installation that is stopped and started again on its ports."""

    folder: Path
    port_base: int

    @contextmanager
    def running(self) -> Iterator[System]:
        system = launch(self.folder, "--split", port_base=self.port_base)
        try:
            wait_ready(system)
            yield system
        finally:
            stop(system)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, free_port_base())


@dataclass
class Desk:
    """An agent and a customer of the demo channel, on the stream."""

    agent: Api
    channel: Channel
    stream: Follower
    adapter: Adapter

    async def exchange(self, customer: str, text: str) -> str:
        """The customer writes, the agent answers, the answer arrives at the adapter; -> the conversation."""
        known = len(self.stream.events)
        await self.channel.say(customer, text)

        def seen() -> Any:
            new = self.stream.events[known:]
            return next((e for e in new if e["data"].get("message", {}).get("text") == text), None)

        event = await eventually(seen, f"{text!r} is on the stream", timeout=30)
        conversation = str(event["subject"])
        await insist(lambda: self.agent.reply(conversation, f"re: {text}", f"key-{text}"), 201)
        await eventually(lambda: f"re: {text}" in self.adapter.texts(conversation), "it is delivered", timeout=30)
        return conversation

    async def texts(self, conversation: str) -> list[str]:
        thread = await self.agent.thread(conversation)
        assert [event["seq"] for event in thread] == list(range(1, len(thread) + 1))
        return [event["data"]["message"]["text"] for event in thread if "message" in event["data"]]


@asynccontextmanager
async def desk(system: System, adapter: Adapter, cursor: str | None = None) -> AsyncIterator[Desk]:
    info = system.info
    async with (
        Api(info["api"], info["tokens"]["owner"]) as owner,
        Api(info["api"], info["tokens"]["agent"]) as agent,
    ):
        channel = Channel(owner, info["channel"]["id"], info["channel"]["secret"])
        cursor = cursor or (await agent.ok("GET", "/v1/conversations?limit=1"))["stream_cursor"]
        async with Follower(agent, info["stream"], cursor) as stream:
            yield Desk(agent, channel, stream, adapter)
            assert_whole(stream.events)


async def attach(system: System, adapter: Adapter) -> None:
    """Once: what the channel's settings say must outlive what is lost, not be said again."""
    info = system.info
    async with Api(info["api"], info["tokens"]["owner"]) as owner:
        settings = {"settings": {"outbound_url": adapter.url}}
        await owner.ok("PATCH", f"/v1/channels/{info['channel']['id']}", settings)


async def test_after_the_loss_of_kafka_threads_are_there_and_go_on(place: Place) -> None:
    customer = someone()
    async with Adapter() as adapter:
        with place.running() as system:
            await attach(system, adapter)
            async with desk(system, adapter) as before:
                conversation = await before.exchange(customer, "first")
                old_cursor = before.stream.cursor
        shutil.rmtree(place.folder / "data" / "kafka")

        with place.running() as system:
            async with desk(system, adapter, old_cursor) as after:
                reason = after.stream.frames[1]
                assert (reason["type"], reason["reason"]) == ("snapshot_required", "recreated")
                assert await after.texts(conversation) == ["first", "re: first"]
                assert await after.exchange(customer, "second") == conversation
                assert await after.texts(conversation) == ["first", "re: first", "second", "re: second"]
