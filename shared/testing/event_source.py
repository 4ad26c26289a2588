"""A reader of server-sent events, down to its lines: it can stall, and sees how the answer ended."""

import asyncio
import json
from typing import Any, Self
from urllib.parse import urlsplit


class EventSourceClient:
    """Reads by itself after `go_on`. `last_id` as a browser keeps it; `whole`: the answer ended well."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.frames: list[dict[str, Any]] = []
        self.last_id = ""
        self.ended = self.whole = False
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, url: str, headers: dict[str, str], receive_buffer: int = 0) -> Self:
        """Head read, body not yet: see `go_on`."""
        parts = urlsplit(url)
        limit = {"limit": receive_buffer} if receive_buffer else {}
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, **limit)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        lines = [f"GET {target} HTTP/1.1", "Host: stream", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        client = cls(reader, writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        client.status = int(head[0].split(" ")[1])
        fields = (line.partition(":") for line in head[1:] if line)
        client.headers = {name.lower(): value.strip() for name, _, value in fields}
        return client

    def go_on(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def cut(self) -> None:
        self._writer.transport.abort()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [frame["event"] for frame in self.of("event")]

    async def _read(self) -> None:
        """Chunks of RFC 9112 section 7.1, one event per block of lines."""
        text = b""
        try:
            while size := int((await self._reader.readuntil(b"\r\n")), 16):
                text += (await self._reader.readexactly(size + 2))[:-2]
                *blocks, text = text.split(b"\n\n")
                for block in blocks:
                    self._keep(block.decode())
            self.whole = True
        except (asyncio.IncompleteReadError, OSError):
            pass
        self.ended = True

    def _keep(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        self.last_id = fields.get("id", self.last_id)
        if "data" in fields:
            self.frames.append(json.loads(fields["data"]))
