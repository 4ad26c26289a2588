"""SIGKILL of the media service in the middle of its jobs: each is done all the same, and told once."""

import asyncio
from typing import Any

import pytest

from shared.testing.api import Api, Channel, insist, said, someone
from shared.testing.eventually import eventually
from shared.testing.file_source import Answers, FileSource, gives
from shared.testing.follower import Follower, kind
from shared.testing.recordings import recording
from shared.testing.system import System
from shared.testing.uploads import fetch
from tests.unit.media.files import png

KILLS = 3
RECORDINGS, FILES = 3, 4
"""For each of them."""


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


@pytest.mark.timeout(600)
async def test_recordings_and_customers_files_outlive_three_kills(system: System, agent: Api, channel: Channel) -> None:
    who, go, wanted = someone(), asyncio.Event(), set[str]()
    async with Follower(agent, system.info["stream"]) as stream, FileSource() as source:
        source.answer = gives_after(go, png(64))
        await channel.say(who, "hi")
        conversation = await stream.conversation_of(who)
        content = recording("webm", "libopus", 30.0)
        for number in range(KILLS):
            wanted |= {await completed(agent, conversation, content) for _ in range(RECORDINGS)}
            source.asked.clear()
            urls = [source.url(f"/{number}-{n}.png") for n in range(FILES)]
            files = [{"kind": "image", "url": url} for url in urls]
            await insist(lambda: channel.post([said(who, "pictures") | {"attachments": files}]), 202)  # noqa: B023
            await eventually(lambda: source.asked, "files are being fetched")
            await system.restarted("media")
        go.set()
        messages = await eventually(lambda: with_files(stream, KILLS), "the messages with their files")
        wanted |= {file["media_id"] for message in messages for file in message["attachments"]}
        assert len(wanted) == KILLS * (RECORDINGS + FILES)

        def ready() -> list[str]:
            events = [event for event in stream.events if kind(event) == "media.ready"]
            return [event["data"]["media_id"] for event in events if event["data"]["media_id"] in wanted]

        await eventually(lambda: set(ready()) == wanted, "all are ready", 240)
        assert len(ready()) == len(wanted)


def gives_after(go: asyncio.Event, content: bytes) -> Answers:
    """Whoever asks before that is kept waiting."""
    gives_now = gives(content, "image/png")

    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        await gives_now(path, writer)

    return answer


def with_files(stream: Follower, count: int) -> list[dict[str, Any]] | None:
    messages = [event["data"]["message"] for event in stream.events if kind(event) == "message.received"]
    found = [message for message in messages if message["attachments"]]
    return found if len(found) == count else None
