"""A name that stands for several replicas: each of them is looked at."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from relaydesk.deployment_check import of_services
from relaydesk.doctor import Ailment
from shared.engines.ports import free_ports
from shared.version import VERSION

Missing = dict[str, str]


@contextmanager
def replica(address: str, port: int, missing: Missing) -> Iterator[None]:
    class Probe(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = {"service": "media", "version": VERSION, "started": True, "missing": missing}
            text = json.dumps(body).encode()
            self.send_response_only(503 if self.path == "/readyz" and missing else 200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = HTTPServer((address, port), Probe)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


Look = Callable[[dict[str, Missing | None]], str]


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Iterator[Look]:
    """What is said of a name with these addresses: what each replica misses, None where nobody answers."""
    [port] = free_ports(1)

    with ExitStack() as stack:

        def looked(replicas: dict[str, Missing | None]) -> str:
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in replicas]
            resolve = socket.getaddrinfo

            def stood_for(host: str, *rest: object, **named: object) -> object:
                return found if host == "media-probe" else resolve(host, *rest, **named)  # type: ignore[arg-type]

            monkeypatch.setattr(socket, "getaddrinfo", stood_for)
            for address, missing in replicas.items():
                if missing is not None:
                    stack.enter_context(replica(address, port, missing))
            [(_, one)] = of_services([("media", f"http://media-probe:{port}")])
            return str(one())

        yield looked


def test_replicas_that_are_well_are_counted(look: Look) -> None:
    said = look({"127.0.0.1": {}, "127.0.0.2": {}, "127.0.0.3": {}})
    assert said.startswith("3 replicas at http://media-probe:")


def test_the_one_that_is_not_ready_says_what_it_lacks(look: Look) -> None:
    with pytest.raises(Ailment, match=r"^http://127\.0\.0\.2:\d+/readyz answers 503: .*mongo"):
        look({"127.0.0.1": {}, "127.0.0.2": {"mongo": "no answer"}})


def test_all_that_are_ill_are_named(look: Look) -> None:
    with pytest.raises(Ailment, match=r"127\.0\.0\.1:\d+/startupz does not answer.*; .*127\.0\.0\.2.*mongo"):
        look({"127.0.0.1": None, "127.0.0.2": {"mongo": "no answer"}, "127.0.0.3": {}})


def test_a_name_without_any_address_is_nobody() -> None:
    [(_, one)] = of_services([("media", "http://nobody.invalid:9085")])
    with pytest.raises(Ailment, match=r"nobody is called nobody\.invalid"):
        one()
