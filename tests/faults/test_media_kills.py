"""SIGKILL of the media service in the middle of its jobs: each is done all the same, and told once."""

import asyncio
from typing import Any

import pytest

from shared.testing.api import Api, Channel, insist, said, someone
from shared.testing.eventually import eventually
from shared.testing.file_source import FileSource, gives
from shared.testing.follower import Follower, kind
from shared.testing.recordings import recording
from shared.testing.system import System
from shared.testing.uploads import fetch
from tests.unit.media.files import png

RECORDINGS = 8
FILES = 10


async def completed(agent: Api, conversation: str, content: bytes) -> str:
    """A recording that is due."""
    announced = {
        "purpose": "voice",
        "content_type": "audio/webm",
        "size": len(content),
        "conversation_id": conversation,
    }
    made = await agent.ok("POST", "/v1/media", announced)
    assert (await fetch(made["upload"]["url"], "PUT", content)).status == 200
    media = str(made["media_id"])
    await insist(lambda: agent.call("POST", f"/v1/media/{media}/complete"), 202)
    return media


@pytest.mark.timeout(240)
async def test_recordings_and_customers_files_outlive_three_kills(system: System, agent: Api, channel: Channel) -> None:
    async with Follower(agent, system.info["stream"]) as stream, FileSource() as source:
        source.answer = gives(png(64), "image/png")
        who = someone()
        await channel.say(who, "hi")
        conversation = await stream.conversation_of(who)
        content = recording("webm", "libopus", 60.0)
        wanted = {await completed(agent, conversation, content) for _ in range(RECORDINGS)}
        files = [{"kind": "image", "url": source.url(f"/{n}.png")} for n in range(FILES)]
        await insist(lambda: channel.post([said(who, "pictures") | {"attachments": files}]), 202)
        message = await eventually(lambda: received(stream), "the message with its files")
        wanted |= {file["media_id"] for file in message["attachments"]}
        for _ in range(3):
            pid = system.kill("media")
            await eventually(lambda: system.pid("media") != pid, "media is started again", 30)  # noqa: B023
            await asyncio.sleep(2)  # into its jobs

        def ready() -> list[str]:
            events = [event for event in stream.events if kind(event) == "media.ready"]
            return [event["data"]["media_id"] for event in events if event["data"]["media_id"] in wanted]

        await eventually(lambda: set(ready()) == wanted, "all are ready", 150)
        assert len(ready()) == len(wanted)


def received(stream: Follower) -> dict[str, Any] | None:
    messages = [event["data"]["message"] for event in stream.events if kind(event) == "message.received"]
    return next((message for message in messages if message["attachments"]), None)
