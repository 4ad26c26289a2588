"""The development proxy: one origin in front of all services, chosen by path as an ingress does. Adds no behaviour.

It streams bodies both ways, follows no redirect and repeats nothing. In production an ingress stands here.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from shared.contracts.routes import service_for
from shared.engines.ports import LOOPBACK
from shared.runtime.problems import CONTENT_TYPE, Problem, not_found, unavailable

CONNECT_TIMEOUT_S = 5.0
SHUTDOWN_TIMEOUT_S = 1.0
MAX_HEADER_BYTES = 64 * 1024
HOP_BY_HOP = ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade")
"""RFC 9110 section 7.6.1: what concerns one connection only."""
FRAMING = ("transfer-encoding", "expect")
OURS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""Headers that the client library would add on its own account."""
_FAULT = Problem(500, "INTERNAL", "A fault of ours; it is logged.")
_UNREADABLE = Problem(400, "MALFORMED", "The request cannot be read.")


class Proxy:
    """Answers every request with the answer of the service that owns the path."""

    def __init__(self, upstreams: Mapping[str, str], session: aiohttp.ClientSession) -> None:
        self._upstreams = upstreams
        self._session = session

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        service = service_for(request.path)
        if service is None or service not in self._upstreams:
            return _problem(not_found("No service has this path."))
        try:
            upstream = await self._ask(request, URL(self._upstreams[service] + _target(request), encoded=True))
        except (aiohttp.ClientError, OSError):
            return _problem(unavailable())
        async with upstream:
            return await _pass_on(request, upstream)

    async def _ask(self, request: web.BaseRequest, url: URL) -> aiohttp.ClientResponse:
        return await self._session.request(
            request.method,
            url,
            headers=_end_to_end(request.headers),
            data=request.content if request.body_exists else None,
            skip_auto_headers=OURS,
            allow_redirects=False,
        )


async def _pass_on(request: web.BaseRequest, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    answer = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=_end_to_end(upstream.headers))
    await answer.prepare(request)
    try:
        async for chunk in upstream.content.iter_any():
            await answer.write(chunk)
    except (aiohttp.ClientError, OSError):
        if request.transport is not None:
            request.transport.abort()  # a body that was cut off must not look complete
        raise
    await answer.write_eof()
    return answer


def _target(request: web.BaseRequest) -> str:
    """Path and query as they came, also of a target in absolute form (RFC 9112 section 3.2.2)."""
    return request.raw_path if request.raw_path.startswith("/") else request.rel_url.raw_path_qs


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    dropped = {*HOP_BY_HOP, *FRAMING, *named}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _problem(problem: Problem) -> web.Response:
    return web.Response(status=problem.status, body=problem.body(), content_type=CONTENT_TYPE, headers=problem.headers)


class _Connection(web.RequestHandler):
    """A caller's. What is no request, and a fault of ours, is answered with a problem, too."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        super().handle_error(request, status, exc, message)  # logs it; raises where an answer has begun
        answer = _problem(_FAULT if status >= _FAULT.status else _UNREADABLE)
        answer.force_close()
        return answer


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _UpstreamGone(aiohttp.ClientError):
    """The service closed the connection instead of answering."""


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Hides lost connections from the client library, which would repeat idempotent requests; only clients may."""
    try:
        return await send(request)
    except OSError as error:
        raise _UpstreamGone(str(error)) from error
    except aiohttp.ServerDisconnectedError as error:
        raise _UpstreamGone("disconnected") from error


@contextlib.asynccontextmanager
async def serving(port: int, upstreams: Mapping[str, str]) -> AsyncIterator[None]:
    """A running proxy on this loopback port; `upstreams`: service -> base URL."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, force_close=True
        ),  # a kept one may be closed just when it is used again
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        middlewares=(_once,),
    )
    async with session:
        runner = web.ServerRunner(_server(Proxy(upstreams, session)), shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
            yield
        finally:
            await runner.cleanup()


def _server(proxy: Proxy) -> web.Server:
    return _Server(
        proxy.handle,
        access_log=None,
        handler_cancellation=True,  # a stream that its reader left is closed upstream too
        auto_decompress=False,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )


def run(port: int, upstreams: Mapping[str, str]) -> int:
    """Serve until SIGTERM."""
    import uvloop

    uvloop.run(_until_told(port, upstreams))
    return 0


async def _until_told(port: int, upstreams: Mapping[str, str]) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with serving(port, upstreams):
        await ended.wait()
