"""What the documentation tells a reader to type, typed on a running system; addresses, tokens and ids are ours."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.testing.adapter import Adapter
from shared.testing.api import Api
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, kind
from shared.testing.system import System
from tests.snippets import PROJECT, fenced, typed

MISSING = [tool for tool in ("bash", "curl", "openssl", "od", "base64") if shutil.which(tool) is None]
needs_shell = pytest.mark.skipif(bool(MISSING), reason=f"not on this machine: {', '.join(MISSING)}")


async def run(*command: str) -> str:
    def done() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=PROJECT)

    finished = await asyncio.to_thread(done)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


class Reader:
    """Types `console` blocks into one shell after the other, with this system's address and the owner's token."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._made: dict[str, str] = {}

    async def type(self, block: str, **replaced: str) -> str:
        text = typed(block)
        assert "…" not in text or self._made, "an id of an earlier answer"
        text = text.replace("http://127.0.0.1:8700", self._system.info["api"])
        text = re.sub(r"\$\(\S*relaydesk token --role owner\)", self._system.info["tokens"]["owner"], text)
        text = text.replace("CHANNEL=…", f"CHANNEL={self._made.get('id')}")
        text = text.replace("SECRET=whsec_…", f"SECRET={self._made.get('secret')}")
        for old, new in replaced.items():
            text = text.replace(old, new)
        assert "…" not in text, text
        token = f"TOKEN={self._system.info['tokens']['owner']}\n"
        return await run("bash", "-euc", token + text)

    async def make_channel(self, block: str, **replaced: str) -> str:
        """-> its id."""
        self._made = json.loads(await self.type(block, **replaced))
        return self._made["id"]

    @property
    def secret(self) -> str:
        return self._made["secret"]


async def received(stream: Follower, owner: Api, channel: str, text: str) -> str:
    """The conversation in which a message with this text came through this channel."""

    async def found() -> str | None:
        for event in [e for e in stream.events if kind(e) == "message.received"]:
            if event["data"]["message"]["text"] == text:
                state = await owner.ok("GET", f"/v1/conversations/{event['subject']}")
                if state["channel_id"] == channel:
                    return str(event["subject"])
        return None

    return await eventually(found, f"{text!r} on the stream")


async def test_the_twenty_lines_of_the_readme_bring_a_message_into_the_inbox(
    system: System, owner: Api, stream: Follower
) -> None:
    [code] = fenced("README.md", "python")
    given = 'api, token = "http://127.0.0.1:8700", "…the owner\'s token…"'
    assert code.count(given) == 1
    ours = f'api, token = "{system.info["api"]}", "{system.info["tokens"]["owner"]}"'
    before = {channel["id"] for channel in (await owner.ok("GET", "/v1/channels?limit=200"))["items"]}
    answer = json.loads((await run(sys.executable, "-c", code.replace(given, ours))).replace("'", '"'))
    assert answer["accepted"] == 1 and len(answer["ids"]) == 1
    after = {channel["id"] for channel in (await owner.ok("GET", "/v1/channels?limit=200"))["items"]}
    [made] = after - before
    conversation = await received(stream, owner, made, "Hi!")
    state = await owner.ok("GET", f"/v1/conversations/{conversation}")
    assert (state["contact"]["name"], state["contact"]["external_id"]) == ("Ada", "ada")


@needs_shell
async def test_a_channel_is_attached_with_curl(system: System, owner: Api, stream: Follower) -> None:
    attach, say = fenced("docs/channels.md", "console")
    reader = Reader(system)
    async with Adapter() as adapter:
        channel = await reader.make_channel(attach, **{"http://127.0.0.1:9999/in": adapter.url})
        answer = json.loads(await reader.type(say))
        assert answer["accepted"] == 1
        conversation = await received(stream, owner, channel, "Hi!")
        await owner.reply(conversation, "How can I help?")
        await eventually(lambda: adapter.texts(conversation) == ["How can I help?"], "the answer arrives")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def example_bot(block: str, secret: str, port: int) -> AsyncIterator[None]:
    """As the page says, but on a port of ours."""
    command = typed(block).strip().replace(".venv/bin/python", sys.executable).replace("whsec_…", secret)
    environment = {**os.environ, "BOT_PORT": str(port)}
    process = await asyncio.create_subprocess_exec("bash", "-c", f"exec env {command}", env=environment, cwd=PROJECT)
    try:
        async with Api(f"http://127.0.0.1:{port}", None) as bot:

            async def healthy() -> bool:
                try:
                    return (await bot.call("GET", "/healthz")).status == 200
                except OSError:
                    return False

            await eventually(healthy, "the bot is up")
        yield
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0


@needs_shell
async def test_a_bot_is_attached_with_curl(system: System, owner: Api, stream: Follower) -> None:
    attach, start, say, look = fenced("docs/bots.md", "console")
    port, reader = free_port(), Reader(system)
    async with Adapter() as adapter:
        urls = {"http://127.0.0.1:9999/in": adapter.url, "http://127.0.0.1:8799/": f"http://127.0.0.1:{port}/"}
        channel = await reader.make_channel(attach, **urls)
        async with example_bot(start, reader.secret, port):
            assert json.loads(await reader.type(say))["accepted"] == 1
            conversation = await received(stream, owner, channel, "When do you open?")
            await eventually(lambda: adapter.texts(conversation), "the bot's answer reaches the channel")
            assert adapter.seen[0].body["author"]["kind"] == "bot"

            async def looked() -> dict[str, Any] | None:
                """The inbox hears of the answer by another way than the channel."""
                [shown] = json.loads(await reader.type(look))["items"]
                return shown if shown["last_message"]["text"].startswith("We are open") else None

            shown = await eventually(looked, "the answer is in the inbox", every=0.5)
    assert shown["id"] == conversation
    assert shown["bot"] == {"configured": True, "enabled": True, "epoch": 0}
    assert not shown["needs_human"]
