"""`Tracing` by OpenTelemetry's SDK, to a collector that speaks OTLP over HTTP. Imported only where one is named.

Spans wait in a bounded queue and go out from a thread of the SDK's: an absent or slow collector costs spans, which are
counted, and nothing else. The SDK does not say how many it drops (open-telemetry/opentelemetry-python issue 3152), so
the bound is kept here and its own, just as large, is never reached.
"""

import asyncio
import logging
import random
import re
import ssl
import threading
from collections.abc import Callable, Sequence

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from shared.runtime.metrics import Metrics
from shared.runtime.settings import Settings, header_pairs
from shared.runtime.tracing import NONE, Attributes, Kind, Span

MAX_WAITING = 2048
BATCH = 512
EVERY_MS = 1_000
EXPORT_WITHIN_S = 5.0
FLUSH_WITHIN_S = 2.0

_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_KINDS: dict[Kind, trace.SpanKind] = {
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
    "internal": trace.SpanKind.INTERNAL,
}
_log = structlog.stdlib.get_logger(__name__)


def otlp_traces(service: str, settings: Settings, metrics: Metrics) -> "Traces":
    headers = settings.traces_headers
    exporter = OTLPSpanExporter(
        endpoint=settings.traces_endpoint,
        certificate_file=ssl.get_default_verify_paths().cafile,  # SSL_CERT_FILE counts, as for all our clients
        headers=dict(header_pairs(headers.get_secret_value())) if headers else {},
        timeout=EXPORT_WITHIN_S,
    )
    resource = Resource({"service.name": f"relaydesk-{service}", "service.instance.id": settings.instance})
    return Traces(exporter, settings.traces_sample, resource, metrics)


class Traces:
    """`Tracing`. `sample`: the share of roots that are sampled; `draw` answers numbers in [0, 1)."""

    def __init__(
        self,
        exporter: SpanExporter,
        sample: float,
        resource: Resource,
        metrics: Metrics,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._exporter = exporter
        self._sample = sample
        self._resource = resource
        self._metrics = metrics
        self._draw = draw
        self._provider: TracerProvider | None = None
        self._tracer: trace.Tracer = trace.NoOpTracer()

    @property
    def on(self) -> bool:
        return self._provider is not None

    async def start(self) -> None:
        if logging.getLogger().level > logging.DEBUG:
            # a line or two for every failed export; ours says once that it fails, and once that it doesn't any more
            logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        # our own draw decides about roots, so that what is not sampled costs no more than that
        provider = TracerProvider(sampler=ALWAYS_ON, resource=self._resource, shutdown_on_exit=False)
        provider.add_span_processor(Waiting(self._exporter, self._metrics))
        self._tracer = provider.get_tracer("relaydesk")
        self._provider = provider

    async def stop(self) -> None:
        """Export what waits, for a moment; a collector that does not take it holds up nobody."""
        provider, self._provider = self._provider, None
        if provider is None:
            return
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def flush() -> None:
            provider.shutdown()
            loop.call_soon_threadsafe(done.set)

        # not the loop's own threads: those are waited for when the process ends
        threading.Thread(target=flush, name="traces-flush", daemon=True).start()
        try:
            async with asyncio.timeout(FLUSH_WITHIN_S):
                await done.wait()
        except TimeoutError:
            _log.warning("traces were left behind: the collector does not take them")
            self._exporter.shutdown()

    def sampled(self) -> bool:
        return self._provider is not None and self._draw() < self._sample

    def root(self, name: str, attributes: Attributes, caller: bytes | None = None) -> Span | None:
        if self._provider is None:
            return None
        came_from = _context(caller or b"")
        links = [trace.Link(came_from)] if came_from else []
        return _begun(self._tracer, Context(), name, "server", attributes, links)

    def joined(self, traceparent: bytes, name: str, kind: Kind, attributes: Attributes) -> Span | None:
        parent = _context(traceparent)
        if self._provider is None or parent is None or not parent.trace_flags.sampled:
            return None
        return _begun(self._tracer, _under(trace.NonRecordingSpan(parent)), name, kind, attributes)


class _Span:
    """`Span`."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, span: trace.Span, tracer: trace.Tracer) -> None:
        self._span = span
        self._tracer = tracer

    @property
    def trace_id(self) -> str:
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def traceparent(self) -> bytes:
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01".encode()

    @property
    def ended(self) -> bool:
        return not self._span.is_recording()

    def child(self, name: str, kind: Kind, attributes: Attributes = NONE) -> Span:
        return _begun(self._tracer, _under(self._span), name, kind, attributes)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def end(self, error: str | None = None, name: str | None = None) -> None:
        if self.ended:
            return
        if name is not None:
            self._span.update_name(name)
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


def _begun(
    tracer: trace.Tracer,
    under: Context,
    name: str,
    kind: Kind,
    attributes: Attributes,
    links: Sequence[trace.Link] = (),
) -> _Span:
    return _Span(tracer.start_span(name, under, _KINDS[kind], dict(attributes), links), tracer)


def _under(span: trace.Span) -> Context:
    """Not the context of this thread or task: whose child a span is, is said and not guessed."""
    return trace.set_span_in_context(span, Context())


def _context(traceparent: bytes) -> trace.SpanContext | None:
    """Version 00 of the W3C header, nothing else."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, bits = (int(part, 16) for part in found.groups())
    flags = trace.TraceFlags(bits & trace.TraceFlags.SAMPLED)
    context = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
    return context if context.is_valid else None


class Waiting(SpanProcessor):
    """Spans that have ended, until the collector has them or they are given up: at most `limit`."""

    def __init__(self, exporter: SpanExporter, metrics: Metrics, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self._count = 0
        self._lock = threading.Lock()
        self._full = metrics.counter("spans_dropped", reason="full")
        told = _Told(exporter, metrics, self._settled)
        self._batches = BatchSpanProcessor(
            told, max_queue_size=limit, schedule_delay_millis=EVERY_MS, max_export_batch_size=min(BATCH, limit)
        )

    def on_end(self, span: ReadableSpan) -> None:
        with self._lock:
            full = self._count >= self._limit
            self._count += not full
        if full:
            self._full.inc()
        else:
            self._batches.on_end(span)

    def shutdown(self) -> None:
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._batches.force_flush(timeout_millis)

    def _settled(self, spans: int) -> None:
        with self._lock:
            self._count -= spans


class _Told(SpanExporter):
    """The exporter, counting what becomes of spans. Runs in the SDK's thread."""

    def __init__(self, exporter: SpanExporter, metrics: Metrics, settled: Callable[[int], None]) -> None:
        self._exporter = exporter
        self._settled = settled
        self._exported = metrics.counter("spans_exported")
        self._refused = metrics.counter("spans_dropped", reason="collector")
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._settled(len(spans))
            self._tell(len(spans), result is SpanExportResult.SUCCESS)
        return result

    def _tell(self, spans: int, taken: bool) -> None:
        (self._exported if taken else self._refused).inc(spans)
        if taken == self._failing:
            self._failing = not taken
            if taken:
                _log.info("the collector takes traces again")
            else:
                _log.warning("the collector does not take traces: they are dropped and counted")

    def shutdown(self) -> None:
        self._exporter.shutdown()
