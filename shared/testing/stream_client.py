"""One WebSocket connection to the stream, down to its bytes: it can stall, misbehave, and sees how it was closed.

`Follower` is the client that behaves like an agent's UI; this one is for tests of the protocol itself.
"""

import asyncio
import base64
import contextlib
import json
import os
import socket
import struct
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
FIN = 0x80


class UpgradeRefused(Exception):
    """The server answered the upgrade with a plain HTTP response."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status} {body[:200]!r}")
        self.status, self.body = status, body


@dataclass(frozen=True, slots=True)
class Peculiar:
    """What an ordinary client would not do. `receive_buffer`: bytes, 0 = the system's choice."""

    headers: tuple[tuple[str, str], ...] = ()
    connection: str = "Upgrade"
    receive_buffer: int = 0


class StreamClient:
    """Reads by itself as long as it isn't `stalled`. `cursor` is the last one told; `code` how the server closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._going = asyncio.Event()
        self.frames: list[dict[str, Any]] = []
        self.pongs: list[bytes] = []
        self.cursor = ""
        self.code: int | None = None
        self.ended = False
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, url: str, ticket: str, cursor: str = "", peculiar: Peculiar | None = None) -> Self:
        """Reading; raises UpgradeRefused."""
        client = await cls.stalled(url, ticket, cursor, peculiar or Peculiar())
        client.go_on()
        return client

    @classmethod
    async def stalled(cls, url: str, ticket: str, cursor: str, peculiar: Peculiar) -> Self:
        """Connected, but reads nothing until `go_on`."""
        parts = urlsplit(url)
        sock = socket.socket()
        sock.setblocking(False)
        if peculiar.receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, peculiar.receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, parts.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        query = urlencode({"ticket": ticket} | ({"cursor": cursor} if cursor else {}))
        try:
            await _upgrade(reader, writer, f"{parts.path}?{query}", peculiar)
        except BaseException:
            writer.transport.abort()
            raise
        return cls(reader, writer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def go_on(self) -> None:
        self._going.set()

    def stall(self) -> None:
        self._going.clear()

    def cut(self) -> None:
        """Drop the connection without a goodbye."""
        self._writer.transport.abort()

    def send(self, frame: object) -> None:
        self.send_raw(FIN | TEXT, json.dumps(frame).encode())

    def send_raw(self, first_byte: int, payload: bytes, masked: bool = True) -> None:
        mask = os.urandom(4) if masked else b""
        size = _size(len(payload))
        head = bytes((first_byte, size[0] | (0x80 if masked else 0))) + size[1:]
        body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if masked else payload
        self._writer.write(head + mask + body)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [frame["event"] for frame in self.of("event")]

    @property
    def welcome(self) -> dict[str, Any] | None:
        return next(iter(self.of("welcome")), None)

    async def _read(self) -> None:
        try:
            while True:
                await self._going.wait()
                await self._read_frame()
        except (asyncio.IncompleteReadError, OSError):
            self.ended = True
            self._writer.close()

    async def _read_frame(self) -> None:
        first, size = await self._reader.readexactly(2)
        if size in (126, 127):
            width = 2 if size == 126 else 8
            size = int.from_bytes(await self._reader.readexactly(width), "big")
        payload = await self._reader.readexactly(size)
        match first & 15:
            case 1:
                self._keep(json.loads(payload))
            case 8:
                self.code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                self.send_raw(FIN | CLOSE, payload[:2])
            case 10:
                self.pongs.append(payload)

    def _keep(self, frame: dict[str, Any]) -> None:
        self.cursor = frame.get("cursor", self.cursor)
        self.frames.append(frame)


def _size(size: int) -> bytes:
    if size < 126:
        return bytes((size,))
    return b"\x7e" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x7f" + size.to_bytes(8, "big")


async def _upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, peculiar: Peculiar) -> None:
    fields = [
        ("Host", "stream"),
        ("Upgrade", "websocket"),
        ("Connection", peculiar.connection),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode()),
        *peculiar.headers,
    ]
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if status != 101:
        raise UpgradeRefused(status, await reader.read())
