"""POSTs to addresses that others gave us: bounded in time and size, no redirects, a gate before the first byte.

Says exactly what is known afterwards: nothing went out (`NotBegun`), it went out and nobody answered (`Unanswered`), or
an answer. Never sends twice by itself.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial

import aiohttp
from aiohttp.client_proto import ResponseHandler

from shared.runtime.outbound_url import OutboundPolicy, UrlNotAllowed
from shared.runtime.traced_requests import called, calling
from shared.runtime.tracing import TRACEPARENT, current

Gate = Callable[[], Awaitable[None]]
"""Awaited when the connection stands (TLS included) and nothing of the request is written. Raise: nothing will be."""

USER_AGENT = "Relaydesk"
KEEPALIVE_S = 4.0
"""Shorter than what servers usually keep idle connections for (5 s), so that a request seldom meets a closing one."""

CHUNK = 16 * 1024
_BODILESS_HEAD = re.compile(rb"HTTP/1\.\d (?:204|304)\b.*?\r\n\r\n", re.DOTALL)
_BROKEN = (aiohttp.ClientError, OSError, ValueError)  # OSError: TimeoutError too; ValueError: what no URL can be


class NotBegun(Exception):
    """Not a byte of the request went out. The text says why, without the address."""


class Unanswered(Exception):
    """The request began and no status came back: it may have arrived."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is the beginning up to the limit; `complete` is false where there was more, or the rest never came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool


async def always_open() -> None:
    """The gate of a request that may go out at any time."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`deadline_s`: from the call to the last byte read; `connect_s`: for connecting; `answer_bytes`: of body kept."""

    deadline_s: float = 10.0
    connect_s: float = 5.0
    answer_bytes: int = 64 * 1024


class OutboundHttp:
    """A component. Connections are shared by all requests to the same address."""

    def __init__(self, policy: OutboundPolicy) -> None:
        self._policy = policy
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        connector = self._policy.connector(limit=0, keepalive_timeout=KEEPALIVE_S)
        protocol: type[ResponseHandler] = _BodilessEnds
        connector._factory = partial(protocol, loop=asyncio.get_running_loop())
        self._session = aiohttp.ClientSession(
            connector=connector,
            request_class=_GatedRequest,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # else 64 KiB of answer may be gigabytes
            trust_env=False,
            headers={"user-agent": USER_AGENT, "accept-encoding": "identity"},
        )

    async def stop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, bounds: Bounds, gate: Gate = always_open
    ) -> Answer:
        """One POST. Raises NotBegun, Unanswered, or what the gate raised; blocks until the deadline at most. Within a
        span it is a part of its trace, and says so to whom it goes."""
        parent = current()
        if parent is None:
            return await self._post(url, headers, body, bounds, gate)
        with calling(parent, url) as span:
            joined = {**headers, TRACEPARENT: span.traceparent.decode()}
            answer = await self._post(url, joined, body, bounds, gate)
            called(span, answer.status)
        return answer

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes, bounds: Bounds, gate: Gate) -> Answer:
        until = asyncio.get_running_loop().time() + bounds.deadline_s
        response = await self._begin(url, headers, body, bounds, _Passage(gate), until)
        content, complete = await _read(response, bounds.answer_bytes, until)
        if complete:
            response.release()
        else:
            response.close()
        shown = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, shown, content, complete)

    async def _begin(
        self, url: str, headers: Mapping[str, str], body: bytes, bounds: Bounds, passage: "_Passage", until: float
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise NotBegun("shutting down")
        timeout = aiohttp.ClientTimeout(total=None, connect=bounds.connect_s)
        token = _passage.set(passage)
        try:
            self._policy.check(url)
            async with asyncio.timeout_at(until):
                return await self._session.post(url, data=body, headers=headers, allow_redirects=False, timeout=timeout)
        except UrlNotAllowed as error:
            raise NotBegun(str(error)) from None
        except _BROKEN as error:
            raise passage.verdict(error) from error
        finally:
            _passage.reset(token)


class _Passage:
    """One request's way through its gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._begun = False
        self._refusal: BaseException | None = None

    async def through(self) -> None:
        try:
            await self._gate()
        except BaseException as error:
            self._refusal = error
            raise
        self._begun = True

    def verdict(self, error: Exception) -> BaseException:
        """What a broken request means. The client may have wrapped what the gate raised."""
        if isinstance(self._refusal, Exception):
            return self._refusal
        if self._begun:
            return Unanswered(f"no answer ({_said(error)})")
        return NotBegun(f"no connection ({_said(error)})")


_passage: ContextVar[_Passage] = ContextVar("passage")


class _GatedRequest(aiohttp.ClientRequest):
    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        await _passage.get().through()
        return await super().send(conn)


class _BodilessEnds(ResponseHandler):
    """What comes behind the head of an answer that can have no body (RFC 9112 section 6.3) is dropped, and the
    connection is not used again. aiohttp would take it for the next answer, and this one for broken; what comes later,
    while nothing is asked, makes aiohttp close the connection by itself."""

    def data_received(self, data: bytes) -> None:
        head = _BODILESS_HEAD.match(data)
        if head and head.end() < len(data):
            self.force_close()
            data = head[0]
        super().data_received(data)


async def _read(response: aiohttp.ClientResponse, limit: int, until: float) -> tuple[bytes, bool]:
    """The body's beginning, and whether that is all. What breaks now changes nothing: the status is known."""
    content = bytearray()
    try:
        async with asyncio.timeout_at(until):
            async for chunk in response.content.iter_chunked(CHUNK):
                content += chunk
                if len(content) > limit:
                    return bytes(content[:limit]), False
    except _BROKEN:
        return bytes(content), False
    return bytes(content), True


def _said(error: Exception) -> str:
    """Short, and without the address, which may hold a secret."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, aiohttp.ClientConnectorError):
        return type(error.os_error).__name__
    return type(error).__name__
