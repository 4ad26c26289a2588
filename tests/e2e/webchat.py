"""The web chat as a process of its own, its visitors, and a Relaydesk that a test can make answer as it likes."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from shared.engines.ports import free_ports
from shared.testing.eventually import eventually

SERVER = Path(__file__).parents[2] / "examples" / "webchat" / "server.py"
SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMw=="
Line = dict[str, Any]


class Inbox:
    """Takes signed events as Relaydesk does; `status` is what it answers to the next ones. `async with`."""

    def __init__(self) -> None:
        self.status = 202
        self.taken: list[dict[str, Any]] = []
        self.posts: list[tuple[str, int]] = []
        app = web.Application()
        app.add_routes([web.post("/v1/inbound/{channel}", self._take)])
        self._runner = web.AppRunner(app)
        self.url = ""

    async def __aenter__(self) -> "Inbox":
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.taken if event["type"] == kind]

    async def _take(self, request: web.Request) -> web.Response:
        body = Webhook(SECRET).verify(await request.read(), dict(request.headers))
        self.posts.append((request.headers["webhook-id"], self.status))
        if self.status == 202:
            self.taken += body["events"]
        return web.json_response({}, status=self.status)


class Visitor:
    """One browser's cookies; `async with`. `lines` is what the page has been sent, by id, newest state first."""

    def __init__(self, url: str, cookies: dict[str, str] | None = None) -> None:
        self._url = url.rstrip("/")
        self._cookies = cookies
        self._session: aiohttp.ClientSession | None = None
        self._listening: asyncio.Task[None] | None = None
        self.lines: dict[str, Line] = {}
        self.sent: list[Line] = []

    async def __aenter__(self) -> "Visitor":
        self._session = aiohttp.ClientSession(cookies=self._cookies, cookie_jar=aiohttp.CookieJar(unsafe=True))
        async with self._session.get(f"{self._url}/") as page:
            assert page.status == 200
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        assert self._session is not None
        await self._session.close()

    def cookies(self) -> dict[str, str]:
        """Who they are, for their next browser."""
        assert self._session is not None
        return {cookie.key: cookie.value for cookie in self._session.cookie_jar}

    def listen(self, after: int = 0) -> None:
        """As the page does; `after` = the last rev it saw."""
        self._listening = asyncio.create_task(self._listen(after))

    def leave(self) -> None:
        if self._listening is not None:
            self._listening.cancel()

    async def post(self, path: str, body: Any) -> int:
        assert self._session is not None
        async with self._session.post(f"{self._url}/{path}", json=body) as answer:
            return answer.status

    async def say(self, text: str, ident: str) -> None:
        assert await self.post("messages", {"id": ident, "text": text}) == 202

    def texts(self, author: str) -> list[str]:
        lines = sorted(self.lines.values(), key=lambda line: int(line["seq"]))
        return [line["text"] for line in lines if line["author"] == author]

    async def _listen(self, after: int) -> None:
        assert self._session is not None
        headers = {"Last-Event-ID": str(after)}
        async with self._session.get(f"{self._url}/events", headers=headers, timeout=_ENDLESS) as stream:
            async for row in stream.content:
                if row.startswith(b"data: "):
                    line = json.loads(row.removeprefix(b"data: "))
                    self.lines[line["id"]] = line
                    self.sent.append(line)


_ENDLESS = aiohttp.ClientTimeout(total=None)


@asynccontextmanager
async def webchat(api: str, data: Path, channel: str = "c1", secret: str = SECRET) -> AsyncIterator[str]:
    """A running web chat -> its base URL."""
    [port] = free_ports(1)
    settings = {
        "WEBCHAT_API": api,
        "WEBCHAT_CHANNEL_ID": channel,
        "WEBCHAT_CHANNEL_SECRET": secret,
        "WEBCHAT_PORT": str(port),
        "WEBCHAT_DATA": str(data),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, str(SERVER), env={**os.environ, **settings})
    try:
        await eventually(lambda: _healthy(f"http://127.0.0.1:{port}/healthz"), "the web chat is up")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0


async def _healthy(url: str) -> bool:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status == 200


async def deliver(url: str, visitor: str, text: str, ident: str = "m-1", secret: str = SECRET) -> int:
    """What dispatch posts for an agent's message. -> HTTP status."""
    message = {
        "type": "message",
        "id": ident,
        "conversation_id": "c-1",
        "to": {"id": visitor},
        "text": text,
        "attachments": [],
        "author": {"kind": "agent", "name": "Ada Adler"},
        "attempt": 1,
    }
    body, moment = json.dumps(message), datetime.now(UTC)
    headers = {
        "webhook-id": ident,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(ident, moment, body),
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/deliveries", data=body.encode(), headers=headers) as answer,
    ):
        return answer.status
