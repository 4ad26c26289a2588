"""A server that gives out files, or not, as a test likes: byte for byte, so that it can lie."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

FILE = bytes(range(256)) * 100

Answers = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class FileSource:
    """`async with`: listens on a free port of loopback. `answer(path, writer)` is called for each request; `asked`:
    their heads."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        self.answer: Answers = gives(FILE, "image/png")
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()

    def url(self, path: str = "/file.bin") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        try:
            await self.answer(head.split()[1], writer)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


def says(head: str, body: bytes = b"") -> Answers:
    """An answer to the letter; lines of `head` end with a line feed."""

    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)

    return answer


def gives(content: bytes, content_type: str) -> Answers:
    return says(f"HTTP/1.1 200 OK\ncontent-type: {content_type}\ncontent-length: {len(content)}", content)


async def endless(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
    while True:
        writer.write(bytes(10_000))
        await writer.drain()


async def dripping(path: str, writer: asyncio.StreamWriter) -> None:
    """A byte now and then."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)
