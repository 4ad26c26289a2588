"""One listening HTTP server: uvicorn without its own signals, logs, lifespan or exits."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.runtime.component import ASGIApp
from shared.runtime.settings import SettingsError

BACKLOG = 2048
KEEP_ALIVE_S = 15
ABORT = "relaydesk.abort"
"""The ASGI extension `{"abort": () -> None}`: closes the connection without waiting for what is buffered."""


class PortTaken(SettingsError):
    """The text names the port."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are `serve`'s."""
        yield


class _Protocol(HttpToolsProtocol):
    def on_message_begin(self) -> None:
        """An application can cut off a peer that takes nothing any more; ASGI itself has no word for it."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}


class Listener:
    """`open` accepts connections and answers the port; `close` stops accepting, lets open requests finish, ends."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._app = app
        self._host = host
        self._wanted_port = port
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = 0

    async def open(self) -> int:
        """PortTaken where something else listens there."""
        sock = _bound(self._host, self._wanted_port)
        self.port = int(sock.getsockname()[1])
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            http=_Protocol,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[sock]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - it has a flag, not an event
            await asyncio.sleep(0.001)
        if self._task.done():
            self._task.result()  # raises what kept it from starting
        return self.port

    async def close(self, seconds: float) -> None:
        """Requests still open after `seconds` are cancelled."""
        if self._server is None or self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, int(seconds))
        self._server.should_exit = True
        await asyncio.wait([self._task], timeout=seconds + 1)
        self.abandon()

    def abandon(self) -> None:
        """Close at once, whatever is under way. Repeatable."""
        if self._task is not None:
            self._task.cancel()
        if self._server is not None:
            for server in self._server.servers:  # not the socket: the loop still watches it
                server.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise PortTaken(f"cannot listen on {host}:{port} ({error.strerror}); choose another port") from None
    sock.setblocking(False)
    return sock
