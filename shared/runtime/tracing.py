"""Traces as the rest of the code meets them: a span for what is sampled, None for all else. Knows no client library.

A record that belongs to a sampled trace carries the W3C header `traceparent`
(https://www.w3.org/TR/trace-context/#traceparent-header); any other carries nothing. What a span says is a name, ids
and numbers: never what people wrote, who they are, or a secret. decisions/0019 says whose trace context is believed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

import structlog

from shared.runtime.metrics import Metrics
from shared.runtime.settings import Settings

TRACEPARENT = "traceparent"
Kind = Literal["server", "client", "producer", "consumer", "internal"]
Attributes = Mapping[str, str | int]
NONE: Attributes = {}


class Span(Protocol):
    """A sampled piece of work. No call blocks, waits or raises."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def traceparent(self) -> bytes:
        """The header of what this work causes."""

    @property
    def ended(self) -> bool: ...

    def child(self, name: str, kind: Kind, attributes: Attributes = NONE) -> "Span": ...

    def note(self, attributes: Attributes) -> None: ...

    def end(self, error: str | None = None, name: str | None = None) -> None:
        """`error`: a class of errors, no text of one. `name`: a better one, now that more is known."""


class Tracing(Protocol):
    """The traces of one service. A component: nothing is sampled before it has started."""

    @property
    def on(self) -> bool: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def sampled(self) -> bool:
        """Whether this request begins a trace: asked once, before anything is made ready for one."""

    def root(self, name: str, attributes: Attributes, caller: bytes | None = None) -> Span | None:
        """A new trace; None while nothing is traced. `caller`: the header of a stranger, who is not believed: a link to
        where the request came from, if it is one, and nothing else."""

    def joined(self, traceparent: bytes, name: str, kind: Kind, attributes: Attributes) -> Span | None:
        """A piece of a trace that one of us began. None where the header is no sampled one."""


class NoTracing:
    """`Tracing` of a service without a collector."""

    on = False

    async def start(self) -> None:
        """Nothing is opened."""

    async def stop(self) -> None:
        """Nothing is open."""

    def sampled(self) -> bool:
        return False

    def root(self, name: str, attributes: Attributes, caller: bytes | None = None) -> Span | None:
        return None

    def joined(self, traceparent: bytes, name: str, kind: Kind, attributes: Attributes) -> Span | None:
        return None


OFF: Tracing = NoTracing()


def tracing_of(service: str, settings: Settings, metrics: Metrics) -> Tracing:
    """As the settings say. OpenTelemetry is imported only where they name a collector: 12 MB, a tenth of a second."""
    if settings.traces_endpoint is None:
        return OFF
    from shared.runtime.trace_export import otlp_traces

    return otlp_traces(service, settings, metrics)


_current: ContextVar[Span | None] = ContextVar("span", default=None)


def current() -> Span | None:
    """The span that this code runs within."""
    span = _current.get()
    # a task that was begun within a span, and outlives it, does not belong to it any more
    return None if span is None or span.ended else span


@contextmanager
def within(span: Span) -> Iterator[Span]:
    """Make it the current one, name its trace in our log lines, and end it."""
    token = _current.set(span)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=span.trace_id):
            yield span
    except BaseException as error:
        span.end(type(error).__name__)
        raise
    finally:
        _current.reset(token)
        span.end()


@contextmanager
def resumed(tracing: Tracing, trace: bytes | None, name: str, attributes: Attributes) -> Iterator[Span | None]:
    """Later work for a record: `trace` is the header that was kept of it; None: it was not sampled."""
    span = None if trace is None else tracing.joined(trace, name, "internal", attributes)
    if span is None:
        yield None
        return
    with within(span):
        yield span
