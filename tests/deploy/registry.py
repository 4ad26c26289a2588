"""As little of an OCI registry as `helm push` and `helm pull` ask for (OCI distribution specification 1.1)."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class _Registry(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kept: dict[str, tuple[str, bytes]]
    """Digest or tag -> media type and content."""

    def do_POST(self) -> None:
        self._answer(202, {"Location": f"{self.path}upload"})

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        named = parse_qs(urlsplit(self.path).query).get("digest", [self.path.rpartition("/")[2]])[0]
        for name in (digest, named):
            self.kept[name] = (self.headers["Content-Type"], content)
        self._answer(201, {"Location": self.path, "Docker-Content-Digest": digest})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        name = re.sub(r"^.*/", "", urlsplit(self.path).path)
        if name not in self.kept:
            self._answer(200 if not name else 404, {})
            return
        kind, content = self.kept[name]
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._answer(200, {"Content-Type": kind, "Docker-Content-Digest": digest}, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said."""


@contextmanager
def registry() -> Iterator[str]:
    """host:port, without TLS."""
    handler = type("Registry", (_Registry,), {"kept": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
