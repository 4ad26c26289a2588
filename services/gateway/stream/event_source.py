"""One `GET /v1/events`: the stream as server-sent events, an HTTP answer that goes on, and a subscriber's wire."""

import asyncio
from collections import deque

from starlette.responses import Response

from services.gateway.stream import codes, frames
from services.gateway.stream.front import Front
from services.gateway.stream.gate import Admitted
from services.gateway.stream.sse import RETRY, Encoder
from services.gateway.stream.subscriber import Subscriber
from shared.runtime.component import Receive, Scope, Send
from shared.runtime.listening import ABORT

HIGH_BYTES = 64 * 1024
"""So much may wait before the stream makes a pause; what the connection itself buffers comes on top, as much again."""

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Proxies must not hold events back to gather more; the last is nginx's word for it."""

REASONS = {codes.TOKEN_EXPIRED: "UNAUTHENTICATED", codes.FORBIDDEN: "DEACTIVATED"}
"""What is said before the end where coming back with the same token is of no use."""


class EventSource(Response):
    """An answer that ends when its reader leaves or is sent away. Its coroutine is the only writer."""

    def __init__(self, admitted: Admitted, front: Front, encoder: Encoder) -> None:
        self.status_code, self.background = 200, None
        self.init_headers(HEADERS)
        self.subscriber = Subscriber(admitted.holder.workspace, admitted.holder.member_id, self)
        self._admitted, self._front, self._encoder = admitted, front, encoder
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ending = self._gone = False
        self._wake = asyncio.Event()

    # the wire

    def write(self, data: bytes) -> None:
        encoded = self._encoder.encoded(data)
        self._waiting.append(encoded)
        self._size += len(encoded)
        self._wake.set()
        if self._size > HIGH_BYTES and not self._paused:
            self._paused = True
            self._front.congested(self, True)

    def buffered(self) -> int:
        return self._size

    def close(self, code: int, reason: str) -> None:
        """There are no close codes here: the answer ends, and who may come back does so with its last event id."""
        if code in REASONS:
            self._waiting.append(self._encoder.encoded(frames.error(REASONS[code])))
        self._ending = True
        self._wake.set()
        self._front.said_goodbye(self)

    def cut_off(self) -> None:
        self._gone = True
        self._wake.set()
        self._abort()

    # ASGI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._abort = scope.get("extensions", {}).get(ABORT, {}).get("abort", lambda: None)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": RETRY, "more_body": True})
        leaving = asyncio.create_task(self._left(receive))
        self._front.opened(self, self._admitted)
        try:
            await self._written(send)
        finally:
            self._front.closed(self)
            leaving.cancel()

    async def _written(self, send: Send) -> None:
        while not self._gone:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting and not self._gone:
                data = self._taken()
                await send({"type": "http.response.body", "body": data, "more_body": True})
                self._sent(len(data))
            if self._ending and not self._waiting:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return

    def _taken(self) -> bytes:
        """What is sent at once: some of what waits, so that a slow reader has little on its way."""
        parts, size = [], 0
        while self._waiting and size < HIGH_BYTES:
            parts.append(self._waiting.popleft())
            size += len(parts[-1])
        return b"".join(parts)

    def _sent(self, size: int) -> None:
        self._size -= size
        if self._paused and not self._waiting:
            self._paused = False
            self._front.congested(self, False)

    async def _left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._wake.set()
