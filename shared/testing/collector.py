"""A collector of traces as a local HTTP server: OTLP over HTTP, decoded with the protocol's own classes."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

Value = str | int


@dataclass(frozen=True, slots=True)
class Collected:
    """One span. Ids in hexadecimal; `parent` is empty for a root; `links` are ids of traces; times in Unix seconds."""

    service: str
    name: str
    kind: str
    trace: str
    ident: str
    parent: str
    links: tuple[str, ...]
    attributes: Mapping[str, Value]
    failed: bool
    begun: float
    ended: float


class Collector:
    """`with Collector() as collector:`. `status`: what it answers; `open`: cleared, it answers nothing at all."""

    def __init__(self) -> None:
        self.status = 200
        self.open = threading.Event()
        self.open.set()
        self.requests = 0
        self.headers: list[Mapping[str, str]] = []
        self.spans: list[Collected] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def __enter__(self) -> "Collector":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def of(self, trace: str) -> list[Collected]:
        """The spans of a trace, in the order of their beginning."""
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.begun)

    def trace_of(self, name: str, **attributes: Value) -> str | None:
        """The trace that has a span of this name with these attributes of ours (`relaydesk.…`)."""
        wanted = {f"relaydesk.{key}": value for key, value in attributes.items()}.items()
        return next((one.trace for one in self.spans if one.name == name and wanted <= one.attributes.items()), None)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                collector._take(self)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        return Handler

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        self.requests += 1
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.open.wait()
        if self.status == 200:
            self.spans += decoded(body)
        request.send_response(self.status)
        request.send_header("content-length", "0")
        request.end_headers()


def decoded(body: bytes) -> list[Collected]:
    found: list[Collected] = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = str(_values(resource.resource.attributes)["service.name"])
        found += [_collected(service, span) for scope in resource.scope_spans for span in scope.spans]
    return found


def _collected(service: str, span: WireSpan) -> Collected:
    return Collected(
        service=service,
        name=span.name,
        kind=WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace=span.trace_id.hex(),
        ident=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=tuple(link.trace_id.hex() for link in span.links),
        attributes=_values(span.attributes),
        failed=span.status.code == 2,
        begun=span.start_time_unix_nano / 1e9,
        ended=span.end_time_unix_nano / 1e9,
    )


def _values(pairs: Sequence[KeyValue]) -> dict[str, Value]:
    return {
        pair.key: pair.value.int_value if pair.value.HasField("int_value") else pair.value.string_value
        for pair in pairs
    }
