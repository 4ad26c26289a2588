"""Spans of HTTP: requests that come in, and those that go out. Knows no client library.

Names and attributes are those of OpenTelemetry's semantic conventions for HTTP
(https://opentelemetry.io/docs/specs/semconv/http/http-spans/), but for addresses as they are: a path may hold anything,
an adapter's address a secret. Routes, hosts and ids of ours stand for them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from shared.contracts.ids import UUID_PATTERN
from shared.runtime.component import Scope
from shared.runtime.tracing import TRACEPARENT, Attributes, Span, Tracing

SAID = {"{channel_id}": "relaydesk.channel_id", "{conversation_id}": "relaydesk.conversation_id"}
_UUID = re.compile(UUID_PATTERN)
_HEADER = TRACEPARENT.encode()


class TracedRequests:
    """Of what comes in. Nobody outside decides what is sampled: every trace begins here."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def begun(self, scope: Scope, method: str) -> Span | None:
        if not self._tracing.sampled():
            return None
        caller = next((value for name, value in scope["headers"] if name == _HEADER), None)
        attributes: Attributes = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        return self._tracing.root(method, attributes, caller)

    def answered(self, span: Span, scope: Scope, method: str, status: int) -> None:
        route = scope.get("state", {}).get("route")
        span.note({"http.response.status_code": status})
        if route is not None:
            span.note({"http.route": route, **_ids(route, scope["path"])})
        span.end(str(status) if status >= 500 else None, f"{method} {route}" if route is not None else None)


@contextmanager
def calling(parent: Span, url: str) -> Iterator[Span]:
    span = parent.child("POST", "client", {"http.request.method": "POST", **_address(url)})
    try:
        yield span
    except BaseException as error:
        span.end(type(error).__name__)
        raise
    span.end()


def called(span: Span, status: int) -> None:
    span.note({"http.response.status_code": status})
    span.end(str(status) if status >= 400 else None)


def _ids(route: str, path: str) -> Attributes:
    """The parameters of the path that may be said, where they look like what they are called."""
    pairs = zip(route.split("/"), path.split("/"), strict=False)
    return {SAID[name]: value for name, value in pairs if name in SAID and _UUID.fullmatch(value)}


def _address(url: str) -> Attributes:
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return {}
    return {"server.address": parts.hostname or "", "server.port": port}
