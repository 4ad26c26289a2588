"""A channel adapter or bot as a local HTTP server: remembers what it was sent, and misbehaves as it is told."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

LOOP_PASSES = 8
"""What it takes at most from bytes on a new connection to the adapter's handler."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came. Monotonic seconds: `at`: when its body was read, `begun`: when its head was."""

    id: str
    body: dict[str, Any]
    headers: Mapping[str, str]
    at: float
    begun: float

    @property
    def conversation(self) -> str:
        return str(self.body.get("conversation_id"))

    @property
    def text(self) -> str:
        return str(self.body.get("text"))


@dataclass(frozen=True, slots=True)
class Says:
    """A proper HTTP answer. `body` bytes go out as they are, anything else as JSON."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True, slots=True)
class Breaks:
    """These very bytes on the connection, then the end of it."""

    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Hangs:
    """No answer until the adapter is closed."""


Reaction = Says | Breaks | Hangs
Behaviour = Callable[[Seen], Reaction | Awaitable[Reaction]]


def agrees(seen: Seen) -> Reaction:
    return Says()


class Adapter:
    """`async with Adapter(secret) as adapter:`; `adapter.behaviour` may be changed at any time.

    `bad`: requests whose signature doesn't verify; `at_once`: the most requests of one conversation at the same time.
    """

    def __init__(self, secret: str | None = None, behaviour: Behaviour = agrees) -> None:
        self.secret = secret
        self.behaviour = behaviour
        self.seen: list[Seen] = []
        self.bad: list[Seen] = []
        self.at_once = 0
        self.url = ""
        self._busy: Counter[str] = Counter()
        self._closing = asyncio.Event()
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=0.1)

    async def __aenter__(self) -> "Adapter":
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/in"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()

    def ids(self) -> list[str]:
        """Each webhook-id once, in the order of its first arrival: what an adapter that deduplicates shows."""
        return list(dict.fromkeys(seen.id for seen in self.seen))

    def texts(self, conversation: str | None = None) -> list[str]:
        """Texts in order of arrival, the first attempt of each."""
        first: dict[str, str] = {}
        for seen in self.seen:
            if conversation in (None, seen.conversation):
                first.setdefault(seen.id, seen.text)
        return list(first.values())

    def attempts(self, ident: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.id == ident]

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        begun = time.monotonic()
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(headers.get("webhook-id", ""), json.loads(raw), headers, time.monotonic(), begun)
        self.seen.append(seen)
        if self.secret and not _verifies(self.secret, raw, headers):
            self.bad.append(seen)
        conversation = seen.conversation
        self._busy[conversation] += 1
        self.at_once = max(self.at_once, self._busy[conversation])
        try:
            return await self._answer(request, seen)
        finally:
            self._busy[conversation] -= 1

    async def _answer(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        reaction = self.behaviour(seen)
        if not isinstance(reaction, Says | Breaks | Hangs):
            reaction = await reaction
        match reaction:
            case Says():
                return web.Response(status=reaction.status, body=reaction.content, headers=reaction.headers)
            case Breaks(raw):
                if request.transport is not None:
                    request.transport.write(raw)
                    request.transport.close()
            case Hangs():
                await self._closing.wait()
        return web.Response(status=500)


def _verifies(secret: str, raw: bytes, headers: Mapping[str, str]) -> bool:
    try:
        Webhook(secret).verify(raw.decode(), dict(headers))
    except WebhookVerificationError:
        return False
    return True


async def moment() -> float:
    """Now, after everything that had reached this process before was handled: its order isn't left to the loop."""
    for _ in range(LOOP_PASSES):
        await asyncio.sleep(0)
    return time.monotonic()
