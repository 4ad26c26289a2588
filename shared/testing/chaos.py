"""A TCP proxy that does what networks do: cuts, stalls and delays, at random from a seed."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CHUNK = 16 * 1024


@dataclass(frozen=True, slots=True)
class Habits:
    """`every`: bytes from the server between two incidents, on average. Seconds, at most: `delay_s`, `stall_s`; a
    stalled connection then goes on, or is cut. Weights say how often which incident happens.
    """

    every: int = 20_000
    cuts: float = 3
    stalls: float = 1
    delays: float = 6
    delay_s: float = 0.05
    stall_s: float = 3.0


class Cut(Exception):
    """This connection ends now, without a goodbye."""


class ChaosProxy:
    """`async with ChaosProxy(url, seed) as proxy:` connect to `proxy.url`. Behaves well once `calm` is set.

    `incidents` counts what was done. `cut_before`: the first connection whose server says these bytes is cut there.
    """

    def __init__(self, url: str, seed: int, habits: Habits | None = None) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 0, parts.path
        self._random, self._habits = random.Random(seed), habits or Habits()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.calm = False
        self._away = False
        self.cut_before = b""
        self.connections = 0
        self.incidents = {"cut": 0, "stall": 0, "delay": 0}

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{self._path}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """All connections, now."""
        for task in self._tasks:
            task.cancel()

    @contextmanager
    def away(self) -> Iterator[None]:
        """All connections are cut, and new ones as they come."""
        self._away = True
        self.cut()
        yield
        self._away = False

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            if not writer.is_closing():
                writer.transport.abort()
            self._tasks.discard(task)

        self.connections += 1
        task = asyncio.create_task(self._join(reader, writer))
        task.add_done_callback(ended)
        self._tasks.add(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Client and server, until one of them ends or it is cut."""
        if self._away:
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            return
        ways = [
            asyncio.create_task(_pass(reader, server_writer)),
            asyncio.create_task(self._disturb(server_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            writer.close()  # with what it still has to say, unless it was cut
        finally:
            server_writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _disturb(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        due = self._next()
        while data := await reader.read(CHUNK):
            await self._watch(data, writer)
            while len(data) >= due and not self.calm:
                writer.write(data[:due])
                data, due = data[due:], self._next()
                await self._incident(writer)
            due -= len(data)
            writer.write(data)
            await writer.drain()

    async def _watch(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        at = data.find(self.cut_before) if self.cut_before else -1
        if at >= 0:
            self.cut_before = b""
            writer.write(data[:at].rpartition(b"{")[0][:-2])  # without its frame's header
            raise Cut

    def _next(self) -> int:
        return max(1, round(self._random.expovariate(1 / self._habits.every)))

    async def _incident(self, writer: asyncio.StreamWriter) -> None:
        habits = self._habits
        weights = (habits.cuts, habits.stalls, habits.delays)
        what = self._random.choices(("cut", "stall", "delay"), weights)[0]
        self.incidents[what] += 1
        if what == "delay":
            await asyncio.sleep(self._random.uniform(0, habits.delay_s))
        elif what == "stall":
            await asyncio.sleep(self._random.uniform(0, habits.stall_s))
        if what == "cut":
            writer.transport.abort()
            raise Cut


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
