"""The WebSocket server: picows on its own port. Nothing here waits for a single connection."""

import asyncio
import logging

from picows import WSListener, WSUpgradeRequest, WSUpgradeResponseWithListener, ws_create_server

from services.gateway.stream.connection import Connection
from services.gateway.stream.front import Front
from services.gateway.stream.gate import Gate, Refused
from services.gateway.stream.settings import StreamSettings
from shared.contracts.routes import STREAM

READ_BUFFER_BYTES = 2048
MAX_FRAME_BYTES = 64 * 1024
"""Beyond this picows itself closes (1009) without reading the frame; between our limit and this one it is our 4009."""


def _by_a_client(record: logging.LogRecord) -> bool:
    """What a client sends and picows cannot read is no error of ours."""
    if str(record.msg).startswith("WS parser error"):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


logging.getLogger(__name__).addFilter(_by_a_client)
# An adapter, because picows makes a logger of its own per connection from anything else.
_log = logging.LoggerAdapter(logging.getLogger(__name__))


class StreamServer:
    """A component."""

    def __init__(self, gate: Gate, front: Front, settings: StreamSettings) -> None:
        self._gate, self._front, self._settings = gate, front, settings
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """The bound address as clients would name it on this machine."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"ws://{host}:{port}{STREAM}"

    async def start(self) -> None:
        _log.setLevel(logging.WARNING)  # below that picows has two lines for every connection
        self._server = await ws_create_server(
            self._upgrade,
            self._settings.host,
            self._settings.port,
            logger_name=_log,
            enable_auto_pong=False,  # ours counts pings and leaves out peers that don't read
            max_frame_size=MAX_FRAME_BYTES,
            read_buffer_init_size=READ_BUFFER_BYTES,
            backlog=self._settings.backlog,
        )

    async def stop(self) -> None:
        """Nobody comes in any more; who is in stays. Repeatable."""
        if self._server is not None:
            self._server.close()

    def _upgrade(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        try:
            self._front.check_room()
            admitted = self._gate.admit(request)
        except Refused as refused:
            self._front.count_refused(refused.code)
            return WSUpgradeResponseWithListener(refused.response(), None)
        return Connection(admitted, self._front, self._settings.client_frame_bytes)
