"""One WebSocket: picows' listener on one side, a subscriber's wire on the other."""

import json
import socket
from collections.abc import Callable
from typing import cast

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from services.gateway.stream import codes
from services.gateway.stream.front import Front
from services.gateway.stream.gate import Admitted
from services.gateway.stream.subscriber import Stage, Subscriber

KERNEL_BUFFER = 128 * 1024
"""Bytes, and Linux doubles them. Left alone it buffers up to 4 MiB for a reader that stalls: memory that no limit of
ours sees, and a write into it costs some 140 us instead of 4 (on loopback), which the other readers wait for."""

OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 120_000),
)
"""With these a peer that vanished is noticed within two minutes, also while heartbeats wait for it."""


class Connection(WSListener):
    """`frames` since `frames_from` (monotonic seconds): for the limit of client frames."""

    __slots__ = (
        "_admitted",
        "_front",
        "_max_frame",
        "_transport",
        "buffered",
        "frames",
        "frames_from",
        "subscriber",
        "write",
    )

    write: Callable[[bytes], None]
    buffered: Callable[[], int]
    subscriber: Subscriber

    def __init__(self, admitted: Admitted, front: Front, max_frame: int) -> None:
        self._admitted = admitted
        self.frames = 0
        self.frames_from = 0.0
        self._front = front
        self._max_frame = max_frame

    # the wire

    def close(self, code: int, reason: str) -> None:
        """The peer answers with its own close frame; if not, `Upkeep` cuts it off."""
        self._transport.send_close(cast(WSCloseCode, code), reason)
        self._front.said_goodbye(self)

    def cut_off(self) -> None:
        self._transport.disconnect(graceful=False)

    # picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        tcp = transport.underlying_transport
        self.write = getattr(tcp, "write_nocheck", tcp.write)  # aiofastnet's, as picows itself uses it
        self.buffered = tcp.get_write_buffer_size
        for option in OPTIONS:
            tcp.get_extra_info("socket").setsockopt(*option)
        self.subscriber = Subscriber(self._admitted.holder.workspace, self._admitted.holder.member_id, self)
        self._front.opened(self, self._admitted)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._front.closed(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif self.subscriber.stage is Stage.CLOSED:
            return
        elif not self._front.allows_frame(self):
            self._front.misbehaved(self, codes.TOO_MANY_FRAMES, "too many frames")
        elif frame.msg_type == WSMsgType.TEXT and frame.fin:
            self._take_text(frame)
        elif frame.msg_type == WSMsgType.PING:
            self._answer_ping(transport, frame)
        elif frame.msg_type != WSMsgType.PONG:
            self._front.misbehaved(self, codes.PROTOCOL_ERROR, "only whole text frames are taken")

    def pause_writing(self) -> None:
        self._front.congested(self, True)

    def resume_writing(self) -> None:
        self._front.congested(self, False)

    def _take_text(self, frame: WSFrame) -> None:
        content = _object(frame.get_payload_as_bytes()) if frame.payload_size <= self._max_frame else None
        if content is not None:
            self._front.said(self, content)
        else:
            self._front.misbehaved(self, codes.PROTOCOL_ERROR, f"not a JSON object of at most {self._max_frame} bytes")

    def _answer_ping(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self.subscriber.congested:  # else a peer that asks and does not read would fill our memory
            transport.send_pong(frame.get_payload_as_bytes())


def _object(payload: bytes) -> dict[str, object] | None:
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("type"), str) else None
