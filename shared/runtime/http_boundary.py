"""The outermost layer of an HTTP application: request ids, odd paths, empty parameters, exceptions into problems.

Plain ASGI, so that streamed answers pass through untouched.
"""

import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from shared.runtime.component import ASGIApp, Message, Receive, Scope, Send
from shared.runtime.engine_errors import is_away
from shared.runtime.json_body import limited_body
from shared.runtime.metrics import Metrics
from shared.runtime.problems import CONTENT_TYPE, Problem, not_found, unavailable
from shared.runtime.traced_requests import TracedRequests
from shared.runtime.tracing import within

_log = structlog.stdlib.get_logger(__name__)
_ODD = re.compile(r"[\x00-\x1f\x7f\ufffd]")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


DirectHandler = Callable[[str, Headers, bytes], Awaitable[Response]]
"""(the path's parameter, headers, body) -> answer. May raise Problem."""


@dataclass(frozen=True, slots=True)
class Direct:
    """A route that is answered here. `max_body` in bytes."""

    path: str
    handler: DirectHandler
    max_body: int


DirectRoutes = Mapping[tuple[str, str], Direct]
"""By method and the path up to its last `/`; what follows is the parameter."""


def answer(problem: Problem) -> Response:
    return Response(problem.body(), problem.status, problem.headers, CONTENT_TYPE)


class Boundary:
    """Middleware. An exception that nobody expected is logged once, with its trace; the 500 does not show its text."""

    def __init__(
        self, app: ASGIApp, service: str, metrics: Metrics, direct: DirectRoutes, traced: TracedRequests
    ) -> None:
        self._app = app
        self._service = service
        self._metrics = metrics
        self._direct = direct
        self._traced = traced
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(send, _request_id(scope))
        begun = time.perf_counter()
        with structlog.contextvars.bound_contextvars(service=self._service, request_id=exchange.request_id):
            span = self._traced.begun(scope, method_of(scope))
            if span is None:
                await self._answered(scope, receive, exchange)
            else:
                with within(span):
                    await self._answered(scope, receive, exchange)
                    self._traced.answered(span, scope, method_of(scope), exchange.status)
        self._count(scope, exchange.status, time.perf_counter() - begun)

    async def _answered(self, scope: Scope, receive: Receive, exchange: "_Exchange") -> None:
        try:
            if _ODD.search(scope["path"]):
                raise not_found("There is nothing at this path.")
            start, _, parameter = scope["path"].rpartition("/")
            direct = self._direct.get((scope["method"], start))
            if direct is None or not parameter:
                scope["query_string"] = _given(scope["query_string"])
                await self._app(scope, receive, exchange.send)
            else:
                scope.setdefault("state", {})["route"] = direct.path
                request = Request(scope, receive)
                body = await limited_body(request, direct.max_body)
                response = await direct.handler(parameter, request.headers, body)
                await response(scope, receive, exchange.send)
        except ClientDisconnect:
            exchange.status = 499
        except Exception as error:
            if exchange.status:
                raise  # headers are gone: the server breaks the connection off and logs
            await answer(_problem_of(error, exchange.request_id))(scope, receive, exchange.send)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = method_of(scope), scope.get("state", {}).get("route", "none")
        if (counted := self._counted.get((method, route, status))) is None:
            counter = self._metrics.counter("http_requests", method=method, route=route, status=str(status))
            counted = counter, self._metrics.histogram("http_seconds", method=method, route=route)
            self._counted[method, route, status] = counted
        counted[0].inc()
        counted[1].observe(seconds)


class _Exchange:
    """One request's answer on its way out: remembers its status, adds the request id."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", self.request_id.encode())]}
        await self._send(message)


def _problem_of(error: Exception, request_id: str) -> Problem:
    if isinstance(error, Problem):
        return error
    if is_away(error):
        _log.warning("answered 503", reason=type(error).__name__)
        return unavailable()
    _log.error("unexpected error in a request", exc_info=error)
    return Problem(500, "INTERNAL", "A fault of ours; it is logged.", request_id=request_id)


def _given(query: bytes) -> bytes:
    """Without the parameters that are empty: `?status=&q=tea` asks for what `?q=tea` does."""
    if not query.endswith(b"=") and b"=&" not in query:
        return query
    return b"&".join(pair for pair in query.split(b"&") if not pair.endswith(b"=") or pair.count(b"=") > 1)


def _request_id(scope: Scope) -> str:
    """The caller's, where it is a plain one; else a new one: a name, no secret."""
    given: Any = dict(scope["headers"]).get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"


def method_of(scope: Scope) -> str:
    """Bounded, because it becomes a metric label and a span's name: anybody can send any method."""
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "other"
