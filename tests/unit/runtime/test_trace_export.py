"""A collector that is away, slow or refuses costs spans, which are counted, and nothing else."""

import threading
import time
from collections.abc import Sequence

import pytest
import structlog
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from shared.runtime import trace_export
from shared.runtime.metrics import Metrics
from shared.runtime.settings import Settings
from shared.runtime.trace_export import MAX_WAITING, Traces, otlp_traces
from shared.testing.collector import Collector
from shared.testing.eventually import eventually


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a collector that answers."""
    for name in ("EXPORT_WITHIN_S", "FLUSH_WITHIN_S"):
        monkeypatch.setattr(trace_export, name, 60.0)


class Stuck(SpanExporter):
    """Takes nothing until it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.go_on.wait(600)
        return SpanExportResult.SUCCESS


def end_many(tracing: Traces, count: int) -> None:
    for _ in range(count):
        span = tracing.root("POST", {})
        assert span is not None
        span.end()


def dropped(metrics: Metrics, reason: str) -> float:
    return metrics.registry.get_sample_value("relaydesk_spans_dropped_total", {"reason": reason}) or 0.0


async def test_a_collector_that_hangs_costs_spans_and_holds_nobody_up() -> None:
    stuck, metrics = Stuck(), Metrics()
    tracing = Traces(stuck, 1.0, Resource({}), metrics)
    await tracing.start()
    end_many(tracing, 3 * MAX_WAITING)
    assert dropped(metrics, "full") == 2 * MAX_WAITING
    begun = time.monotonic()
    await tracing.stop()
    assert time.monotonic() - begun < 25, "the exporter itself would be waited for for 30 s"
    stuck.go_on.set()


@pytest.mark.usefixtures("patient")
async def test_what_waits_is_exported_at_the_stop() -> None:
    with Collector() as collector:
        tracing = otlp_traces("ingest", Settings(traces_endpoint=collector.url), Metrics())
        await tracing.start()
        end_many(tracing, 3)
        await tracing.stop()
        assert [(span.service, span.name, span.kind) for span in collector.spans] == [
            ("relaydesk-ingest", "POST", "server")
        ] * 3


@pytest.mark.usefixtures("patient")
async def test_a_collector_that_refuses_is_counted_and_told_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics()
    with Collector() as collector, structlog.testing.capture_logs() as lines:
        tracing = otlp_traces("ingest", Settings(traces_endpoint=collector.url, traces_sample=1.0), metrics)
        await tracing.start()
        collector.status = 400
        for count in (1, 2):
            end_many(tracing, 2)
            await eventually(lambda count=count: dropped(metrics, "collector") == 2 * count, "dropped")  # type: ignore[misc]
        collector.status = 200
        end_many(tracing, 1)
        await eventually(lambda: collector.spans, "taken again")
        await tracing.stop()
    told = [line["event"] for line in lines]
    assert told == [
        "the collector does not take traces: they are dropped and counted",
        "the collector takes traces again",
    ]
    assert metrics.registry.get_sample_value("relaydesk_spans_exported_total") == 1
    assert capsys.readouterr().err == ""
