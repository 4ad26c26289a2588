"""Clients of a running system written from the public contract alone: members' API, a signed channel."""

import asyncio
import io
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple

import aiohttp
from standardwebhooks.webhooks import Webhook

from shared.testing.eventually import eventually

AWAY = {0, 202, 429, 500, 502, 503, 504}
"""Statuses after which the same request is sent again; 0: no answer."""
PATIENCE_S = 45.0


class Answer(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]


class Api:
    """A member's view of the API. `async with Api(base, token) as api:`"""

    def __init__(self, base: str, token: str | None) -> None:
        self._base = base.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Api":
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request, never repeated. OSError/aiohttp.ClientError where nobody answers."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **self._headers, **(headers or {})}
        session = self._session
        assert session is not None, "use `async with`"
        content = None if data is None else io.BytesIO(data)  # aiohttp warns about large bytes
        async with session.request(method, self._base + path, data=content, headers=sent, allow_redirects=False) as got:
            raw = await got.read()
            parsed = json.loads(raw) if "json" in got.headers.get("content-type", "") and raw else raw
            return Answer(got.status, parsed, {k.lower(): v for k, v in got.headers.items()})

    async def ok(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        answer = await self.call(method, path, body, headers)
        assert answer.status in (200, 201, 202, 204), f"{method} {path} -> {answer.status} {answer.body!r}"
        return answer.body

    async def refused(self, method: str, path: str, status: int, code: str, body: Any = None) -> Any:
        answer = await self.call(method, path, body)
        assert answer.status == status, f"{method} {path} -> {answer.status} {answer.body!r}, expected {status}"
        assert "application/problem+json" in answer.headers["content-type"]
        assert answer.body["code"] == code, answer.body
        return answer.body

    async def reply(self, conversation: str, text: str, key: str | None = None, **fields: Any) -> Answer:
        path = f"/v1/conversations/{conversation}/messages"
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return await self.call("POST", path, {"text": text, **fields}, headers)

    async def thread(self, conversation: str) -> list[dict[str, Any]]:
        """All events of the thread in ascending seq."""
        items: list[dict[str, Any]] = []
        before = ""
        while True:
            page = (await self.ok("GET", f"/v1/conversations/{conversation}/messages?limit=200{before}"))["items"]
            items = page + items
            if len(page) < 200:
                return items
            before = f"&before={page[0]['seq']}"


class Patient(Api):
    """A member who asks again, as the page does: while the answer is 503, and while a command is not decided.

    For tests of what becomes of a request, not of what is answered meanwhile. Every command gets a key.
    """

    async def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        if method == "POST" and path.startswith("/v1/conversations/"):
            headers = {"Idempotency-Key": uuid.uuid4().hex, **(headers or {})}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = await super().call(method, path, body, headers)
            if not _is_open(answer) or time.monotonic() > deadline:
                return answer
            await asyncio.sleep(0.1)


def _is_open(answer: Answer) -> bool:
    pending = answer.status == 202 and isinstance(answer.body, dict) and answer.body.get("status") == "pending"
    return pending or answer.status == 503


class Channel:
    """An adapter's sending side: signed posts to the channel's inbound URL."""

    def __init__(self, api: Api, ident: str, secret: str) -> None:
        self._api, self.ident, self._secret = api, ident, secret

    def seen_by(self, api: Api) -> "Channel":
        """The same adapter, through another connection."""
        return Channel(api, self.ident, self._secret)

    async def post(self, events: list[dict[str, Any]]) -> Answer:
        return await self.post_raw(json.dumps({"events": events}, ensure_ascii=False).encode())

    async def post_raw(self, body: bytes, ident: str | None = None, at: float | None = None) -> Answer:
        return await self._api.call("POST", f"/v1/inbound/{self.ident}", body, self.signed(body, ident, at))

    def signed(self, body: bytes, ident: str | None = None, at: float | None = None) -> dict[str, str]:
        ident, moment = ident or f"msg_{uuid.uuid4().hex}", datetime.fromtimestamp(at or time.time(), UTC)
        signature = Webhook(self._secret).sign(ident, moment, body.decode())
        stamp = str(int(moment.timestamp()))
        return {"webhook-id": ident, "webhook-timestamp": stamp, "webhook-signature": signature}

    async def say(self, contact: str, text: str, **sender: Any) -> str:
        """-> the external id of the accepted message."""
        event = said(contact, text, **sender)
        answer = await self.post([event])
        assert answer.status == 202, f"{answer.status} {answer.body!r}"
        return str(event["id"])


def said(contact: str, text: str, ident: str | None = None, **sender: Any) -> dict[str, Any]:
    """An inbound `message` event of the webhook kind."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    ident = ident or uuid.uuid4().hex
    return {"type": "message", "id": ident, "from": {"id": contact, **sender}, "text": text, "occurred_at": now}


def someone() -> str:
    return "customer-" + uuid.uuid4().hex[:12]


async def insist(attempt: Callable[[], Awaitable[Answer]], done: int) -> Answer:
    """Repeat the same request, with the same id or key, until its result is known."""
    while True:
        try:
            answer = await attempt()
        except (aiohttp.ClientError, OSError, TimeoutError):
            answer = Answer(0, None, {})
        if answer.status == done:
            return answer
        assert answer.status in AWAY, f"{answer.status} {answer.body!r}"
        await asyncio.sleep(0.1)


async def probed(base: str, path: str = "/readyz") -> int:
    """The status of a service's probe; 0: nobody answers."""
    try:
        async with Api(base, None) as probe:
            return (await probe.call("GET", path)).status
    except (aiohttp.ClientError, OSError, TimeoutError):
        return 0


async def answers_well(base: str, path: str = "/readyz") -> None:
    """Wait for it: a service that was away for a moment, or whose engine was, says so and comes back."""

    async def well() -> bool:
        return await probed(base, path) == 200

    await eventually(well, f"200 of {base}{path}", timeout=90, every=0.1)
