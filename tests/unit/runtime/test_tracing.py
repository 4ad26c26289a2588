"""What is sampled has spans, all else costs nothing; a stranger decides nothing; without a collector spans are lost."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from typing import NoReturn

import pytest
import structlog
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from starlette.datastructures import Headers
from starlette.responses import Response

from shared.contracts.topics import CHANNEL_INBOUND, WORKSPACE_EVENTS
from shared.runtime.batches import Batch
from shared.runtime.http import Json, api, direct_route
from shared.runtime.metrics import Metrics
from shared.runtime.records import Outgoing, Record
from shared.runtime.settings import Settings
from shared.runtime.trace_export import Traces
from shared.runtime.traced_records import Processing, carrying, sending
from shared.runtime.tracing import OFF, TRACEPARENT, current, resumed, tracing_of, within
from shared.testing.recorded_traces import RecordedTraces, header_of, parent_of
from tests.unit.runtime.asgi import call

PATH = "/v1/inbound/{channel_id}"
CHANNEL = "3c1d2b0a-9e4f-4f7b-8a5d-1c2e3f405162"
CONVERSATION = "36865d94-dda1-53bd-b0bb-463852e73269"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = f"00-{TRACE}-{SPAN}-01".encode()


def record(offset: int = 7, **headers: bytes) -> Record:
    key = f"acme:{CONVERSATION}".encode()
    return Record(CHANNEL_INBOUND, 3, offset, key, b"{}", {"type": b"MessageReceived", **headers}, 0)


def application(tracing: Traces, handler_sees: list[bytes | None]) -> FastAPI:
    async def take(channel_id: str, headers: Headers, body: bytes) -> Response:
        span = current()
        handler_sees.append(None if span is None else span.traceparent)
        if body == b"break":
            raise ZeroDivisionError
        return Json({}, 202)

    app = api("ingest", None, Metrics(), tracing)
    direct_route(app, "POST", PATH, take, status=202)
    return app


async def post(app: FastAPI, body: bytes = b"{}", **headers: str) -> None:
    await call(app, "POST", f"/v1/inbound/{CHANNEL}", body, headers)


def output_of(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


# off


def test_a_service_without_a_collector_does_not_import_the_sdk() -> None:
    script = """
import importlib, sys
from relaydesk.services import SERVICES
from shared.runtime.metrics import Metrics
from shared.runtime.settings import Settings
from shared.runtime.tracing import OFF, tracing_of
for name in SERVICES:
    importlib.import_module(f"services.{name}.app")
assert tracing_of("ingest", Settings(), Metrics()) is OFF
heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "google.protobuf", "requests")
print([name for name in sys.modules if name.startswith(heavy)])
"""
    assert output_of(script) == "[]"


def test_the_frameworks_own_telemetry_stays_off_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would go on with a stranger's trace, and tell what an exception says."""
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    script = """
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from shared.runtime.http import api
from shared.runtime.metrics import Metrics
from tests.unit.runtime.asgi import call
kept, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
print(asyncio.run(call(api("ingest", None, Metrics()), "GET", "/")).status, len(kept.get_finished_spans()))
"""
    assert output_of(script) == "404 0"


class Untouchable(dict[str, bytes]):
    def get(self, name: str, default: object = None) -> NoReturn:
        raise AssertionError(f"{name} was looked for")

    def __contains__(self, name: object) -> NoReturn:
        raise AssertionError(f"{name} was looked for")


def test_with_tracing_off_no_header_is_even_looked_at() -> None:
    batch = Batch([replace(record(), headers=Untouchable())], {})
    with Processing(OFF, "routing").of(batch) as handled:
        assert handled is batch
        assert handled.records[0].trace is None
    assert not OFF.sampled()


async def test_before_its_start_and_after_its_stop_nothing_is_traced() -> None:
    tracing = RecordedTraces()
    assert not tracing.sampled()
    assert tracing.root("POST", {}) is None
    async with tracing:
        assert tracing.sampled()
        assert tracing.root("POST", {}) is not None
    assert not tracing.sampled()
    assert tracing.joined(HEADER, "process", "consumer", {}) is None


# what is sampled


async def test_of_roots_the_share_is_sampled_that_the_settings_say() -> None:
    draws = iter([0.0, 0.0099, 0.01, 0.5, 0.9999])
    tracing = Traces(RecordedTraces()._exporter, 0.01, Resource({}), Metrics(), lambda: next(draws))
    await tracing.start()
    assert [tracing.sampled() for _ in range(5)] == [True, True, False, False, False]
    await tracing.stop()


@pytest.mark.parametrize(("sample", "sampled"), [(0.0, 0), (1.0, 100)])
async def test_a_share_of_nothing_or_of_all_is_exact(sample: float, sampled: int) -> None:
    async with RecordedTraces(sample) as tracing:
        assert sum(tracing.sampled() for _ in range(100)) == sampled


async def test_a_request_that_is_not_sampled_has_no_span_and_its_records_no_header() -> None:
    seen: list[bytes | None] = []
    async with RecordedTraces(0.0) as tracing:
        await post(application(tracing, seen), traceparent=HEADER.decode())
    assert (seen, tracing.spans) == ([None], [])


async def test_a_batch_of_which_nothing_is_sampled_makes_no_span() -> None:
    batch = Batch([record(offset) for offset in range(500)], {})
    async with RecordedTraces() as tracing:
        with Processing(tracing, "routing").of(batch) as handled:
            assert handled is batch
    assert tracing.spans == []


async def test_of_a_batch_each_sampled_record_has_a_span_and_hands_its_context_on() -> None:
    batch = Batch([record(0), record(1, traceparent=HEADER), record(2)], {})
    async with RecordedTraces() as tracing:
        with Processing(tracing, "routing").of(batch) as handled:
            traces = [one.trace for one in handled.records]
            assert handled.records[1].headers[TRACEPARENT] == HEADER  # a dead letter keeps what was read
    [span] = tracing.spans
    assert traces == [None, header_of(span), None]
    assert (span.name, parent_of(span)) == ("process channel.inbound", SPAN)
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.destination.name": "channel.inbound",
        "messaging.destination.partition.id": "3",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.consumer.group.name": "routing",
        "messaging.kafka.offset": 1,
        "relaydesk.type": "MessageReceived",
        "relaydesk.workspace": "acme",
        "relaydesk.conversation_id": CONVERSATION,
    }


async def test_a_batch_that_fails_says_so_in_its_spans() -> None:
    async with RecordedTraces() as tracing:
        with pytest.raises(KeyError), Processing(tracing, "routing").of(Batch([record(traceparent=HEADER)], {})):
            raise KeyError("ada@example.org")
    [span] = tracing.spans
    assert not span.status.is_ok
    assert (span.attributes or {})["error.type"] == "KeyError"
    assert "ada" not in span.to_json()


async def test_what_is_published_within_a_request_is_a_part_of_its_trace() -> None:
    records = [Outgoing(CHANNEL_INBOUND, f"acme:{CONVERSATION}", b"1"), Outgoing(WORKSPACE_EVENTS, "acme", b"2")]
    async with RecordedTraces() as tracing:
        root = tracing.root("POST", {})
        assert root is not None
        with sending(root, records) as sent:
            headers = [dict(one.headers)[TRACEPARENT] for one in sent]
        root.end()
    assert headers == [header_of(tracing.named(f"send {topic}")) for topic in (CHANNEL_INBOUND, WORKSPACE_EVENTS)]
    assert {parent_of(tracing.named(f"send {topic}")) for topic in (CHANNEL_INBOUND, WORKSPACE_EVENTS)} == {
        header_of(tracing.named("POST")).split(b"-")[2].decode()
    }


def test_a_record_keeps_the_trace_that_it_has() -> None:
    bare = Outgoing(CHANNEL_INBOUND, "k", b"")
    once = carrying(bare, HEADER)
    assert once.headers == ((TRACEPARENT, HEADER),)
    assert carrying(once, b"another") is once
    assert carrying(bare, None) is bare


# who is believed


async def test_a_stranger_neither_decides_what_is_sampled_nor_goes_on_a_trace() -> None:
    seen: list[bytes | None] = []
    async with RecordedTraces() as tracing:
        await post(application(tracing, seen), traceparent=HEADER.decode(), baggage="k=v", tracestate="k=v")
    [span] = tracing.spans
    assert span.parent is None
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [TRACE]
    assert TRACE.encode() not in (seen[0] or b"")


async def test_a_request_is_named_by_its_route_and_says_no_more_than_ids() -> None:
    async with RecordedTraces() as tracing:
        await post(application(tracing, []), authorization="Bearer secret")
        await call(application(tracing, []), "POST", "/v1/inbound/+44-7700-900123", b"{}", {})
    known, odd = tracing.spans
    assert known.name == f"POST {PATH}"
    assert known.attributes == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": PATH,
        "http.response.status_code": 202,
        "relaydesk.channel_id": CHANNEL,
    }
    assert "7700" not in odd.to_json()


async def test_a_fault_of_ours_is_an_error_and_a_refusal_is_none() -> None:
    async with RecordedTraces() as tracing:
        app = application(tracing, [])
        await post(app, b"break")
        await call(app, "DELETE", f"/v1/inbound/{CHANNEL}", b"", {})
    assert [(span.status.is_ok, (span.attributes or {})["http.response.status_code"]) for span in tracing.spans] == [
        (False, 500),
        (True, 405),
    ]


HEADER_LIKE = st.from_regex(rb"\A[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


async def test_whatever_the_header_only_a_valid_and_sampled_one_is_gone_on_with() -> None:
    async with RecordedTraces() as tracing:

        @given(st.one_of(st.binary(max_size=80), HEADER_LIKE))
        def check(header: bytes) -> None:
            version, trace, span, flags = (header.split(b"-") + [b""] * 4)[:4]
            valid = len(header) == 55 and version == b"00" and trace.strip(b"0") != b"" and span.strip(b"0") != b""
            begun = tracing.joined(header, "process", "consumer", {})
            assert (begun is not None) == (valid and int(flags, 16) % 2 == 1)

        check()


@pytest.mark.parametrize(
    "header",
    [HEADER.upper(), HEADER + b"-01", b"ff" + HEADER[2:], HEADER[:-2] + b"00", b"00-" + b"0" * 32 + HEADER[35:], b""],
)
async def test_a_header_that_is_no_sampled_one_of_ours_begins_nothing(header: bytes) -> None:
    async with RecordedTraces() as tracing:
        assert tracing.joined(header, "process", "consumer", {}) is None


# within


async def test_log_lines_of_a_sampled_request_name_its_trace() -> None:
    async with RecordedTraces() as tracing:
        root = tracing.root("POST", {})
        assert root is not None
        with within(root):
            bound = structlog.contextvars.get_contextvars()
    assert bound["trace_id"] == root.trace_id
    assert "trace_id" not in structlog.contextvars.get_contextvars()


async def test_a_task_that_outlives_the_request_is_not_within_it_any_more() -> None:
    go_on = asyncio.Event()

    async def later() -> bool:
        await go_on.wait()
        return current() is None

    async with RecordedTraces() as tracing:
        root = tracing.root("POST", {})
        assert root is not None
        with within(root):
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        go_on.set()
        assert await task


async def test_later_work_goes_on_with_the_trace_that_was_kept() -> None:
    async with RecordedTraces() as tracing:
        with resumed(tracing, HEADER, "deliver webhook", {}) as span:
            assert span is not None
            assert current() is span
        with resumed(tracing, None, "deliver webhook", {}) as nothing:
            assert nothing is None
            assert current() is None
    assert [parent_of(one) for one in tracing.spans] == [SPAN]


def test_the_settings_decide() -> None:
    assert tracing_of("ingest", Settings(), Metrics()) is OFF
    assert isinstance(
        tracing_of("ingest", Settings(traces_endpoint="http://127.0.0.1:4318/v1/traces"), Metrics()), Traces
    )
