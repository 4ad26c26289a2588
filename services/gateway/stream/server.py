"""The WebSocket server: picows on its own port. Nothing here waits for a single connection."""

import asyncio
import logging
import math
import random
from http import HTTPStatus

from picows import WSListener, WSUpgradeRequest, WSUpgradeResponseWithListener, ws_create_server

from services.gateway.stream import codes
from services.gateway.stream.catchup import CatchUp
from services.gateway.stream.connection import Connection
from services.gateway.stream.gate import PATH, Gate, Refused
from services.gateway.stream.hub import Hub
from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.upkeep import Upkeep
from shared.runtime.clock import Clock

READ_BUFFER_BYTES = 2048
MAX_FRAME_BYTES = 64 * 1024
"""Beyond this picows itself closes (1009) without reading the frame; between our limit and this one it is our 4009."""

DRAIN_SLICES = 60
DRAIN_AT_ONCE = 10

# An adapter, because picows makes a logger of its own per connection from anything else.
_log = logging.LoggerAdapter(logging.getLogger(__name__))


class StreamServer:
    def __init__(self, gate: Gate, hub: Hub, catch_up: CatchUp, settings: StreamSettings, clock: Clock) -> None:
        self._gate, self._hub, self._catch_up, self._settings, self._clock = gate, hub, catch_up, settings, clock
        self._upkeep = Upkeep(hub, catch_up, settings, clock)
        self._connections: set[Connection] = set()
        self._all_gone = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """The bound address as clients would name it on this machine."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"ws://{host}:{port}{PATH}"

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
        self._upkeep.start()

    async def stop(self) -> None:
        """Send everybody away, spread over `drain_s`, so that they don't all arrive at another replica at once."""
        self._gate.draining = True
        if self._server is not None:
            self._server.close()
            await self._drain()
        self._upkeep.stop()

    async def _drain(self) -> None:
        everybody = self._hub.everybody()
        random.shuffle(everybody)
        slices = max(1, min(DRAIN_SLICES, math.ceil(len(everybody) / DRAIN_AT_ONCE)))
        for number in range(slices):
            if number:
                await asyncio.sleep(self._settings.drain_s / slices)
            for subscriber in everybody[number::slices]:
                if subscriber in self._hub:  # it may have left meanwhile
                    self._hub.dismiss(subscriber, codes.GOING_AWAY, "draining: resume")
        await self._wait_until_gone()

    async def _wait_until_gone(self) -> None:
        """For what `Upkeep` grants a goodbye, and a moment more."""
        if not self._connections:
            return
        self._all_gone.clear()
        try:
            async with asyncio.timeout(self._settings.linger_s + 2 * self._settings.tick_s):
                await self._all_gone.wait()
        except TimeoutError:
            _log.warning("stopped with %d connections left", len(self._connections))

    def _upgrade(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        try:
            self._check_room()
            admitted = self._gate.admit(request)
        except Refused as refused:
            self._hub.count_refused(refused.code)
            return WSUpgradeResponseWithListener(refused.response(), None)
        return Connection(admitted, self, self._settings.client_frame_bytes)

    def _check_room(self) -> None:
        if len(self._connections) >= self._settings.max_sockets:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", "this replica is full: connect again")

    # the front of each connection

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._hub.enter(connection.subscriber)
        self._upkeep.opened(connection, connection.admitted.holder.expires_at)
        self._catch_up.begin(connection.subscriber, connection.admitted.cursor)

    def allows_frame(self, connection: Connection) -> bool:
        now = self._clock.monotonic()
        if now - connection.frames_from > self._settings.client_frames_s:
            connection.frames, connection.frames_from = 0, now
        connection.frames += 1
        return connection.frames <= self._settings.client_frames

    def congested(self, connection: Connection, is_congested: bool) -> None:
        self._hub.congested(connection.subscriber, is_congested)
        if not is_congested:
            self._catch_up.pump(connection.subscriber)

    def misbehaved(self, connection: Connection, code: int, reason: str) -> None:
        self._hub.dismiss(connection.subscriber, code, reason)

    def said_goodbye(self, connection: Connection) -> None:
        self._upkeep.said_goodbye(connection)

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._hub.leave(connection.subscriber)
        self._catch_up.forget(connection.subscriber)
        self._upkeep.gone(connection)
        if not self._connections:
            self._all_gone.set()
