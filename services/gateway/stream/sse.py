"""The stream's frames as server-sent events (WHATWG HTML, section 9.2): what WebSockets carry, wrapped otherwise. Pure.

Each frame is one event without a name: `data` is the frame's JSON, `id` its cursor where it has one, so that a client's
`Last-Event-ID` is what it resumes with.
"""

import re
from collections.abc import Iterator

from services.gateway.stream import frames

RETRY = b"retry: 2000\n\n"
"""Milliseconds after which a browser comes back by itself."""

_CURSOR = re.compile(rb'\{"type":"[a-z_]+","cursor":"([^"]+)"')
_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")
"""JSON has them between its tokens only, where a space says the same."""


class Encoder:
    """Remembers the last frames: a batch goes to many subscribers as one and the same object."""

    def __init__(self) -> None:
        self._given, self._made = b"", b""

    def encoded(self, data: bytes) -> bytes:
        """`data`: whole WebSocket frames of ours."""
        if data is not self._given:
            self._given, self._made = data, b"".join(_blocks(data))
        return self._made


def _blocks(data: bytes) -> Iterator[bytes]:
    for payload in frames.payloads(data):
        cursor = _CURSOR.match(payload)
        ident = b"id: %b\n" % cursor[1] if cursor else b""
        yield b"%bdata: %b\n\n" % (ident, payload.translate(_LINE_ENDS))
