"""`Tracing` by the real SDK, whose spans stay here."""

from types import TracebackType

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.runtime.metrics import Metrics
from shared.runtime.trace_export import Traces


class RecordedTraces(Traces):
    """`async with RecordedTraces() as tracing: …`, then `tracing.spans`, in the order of their ends."""

    def __init__(self, sample: float = 1.0) -> None:
        self._kept = InMemorySpanExporter()
        super().__init__(self._kept, sample, Resource({"service.name": "test"}), Metrics())

    async def __aenter__(self) -> "RecordedTraces":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._kept.get_finished_spans())

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def named(self, name: str) -> ReadableSpan:
        return next(span for span in self.spans if span.name == name)


def header_of(span: ReadableSpan) -> bytes:
    """The `traceparent` of what a span causes."""
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01".encode()


def parent_of(span: ReadableSpan) -> str | None:
    """The id of its parent, in hexadecimal."""
    return None if span.parent is None else f"{span.parent.span_id:016x}"
