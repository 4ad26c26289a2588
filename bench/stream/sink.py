"""The reading side, the same for all servers: a process on the last core that opens sockets and reads what comes."""

import asyncio
import multiprocessing
import os
import selectors
import socket
from collections.abc import Callable
from ctypes import c_uint64
from typing import Any

CORES = sorted(os.sched_getaffinity(0))
"""Read before anybody is pinned: a child inherits its parent's."""


class Sink:
    """`taken` counts the bytes after the upgrades. Ends with the process that started it."""

    def __init__(self) -> None:
        self._taken = multiprocessing.Value(c_uint64, 0)
        self._counter: Any = self._taken.get_obj()

    @property
    def taken(self) -> int:
        return int(self._counter.value)

    def start(self, port: int, tickets: list[str]) -> None:
        multiprocessing.Process(target=self._run, args=(port, tickets), daemon=True).start()

    def _run(self, port: int, tickets: list[str]) -> None:
        pin(-1)
        poll = selectors.EpollSelector()
        for ticket in tickets:
            poll.register(connected(port, ticket), selectors.EVENT_READ)
        buffer = bytearray(1 << 18)
        while True:
            for key, _ in poll.select():
                assert isinstance(key.fileobj, socket.socket)
                self._counter.value += key.fileobj.recv_into(buffer)


def connected(port: int, ticket: str) -> socket.socket:
    """Upgraded."""
    sock = request(port, ticket)
    assert b"101" in sock.recv(4096)
    return sock


def request(port: int, ticket: str, cursor: str = "") -> socket.socket:
    """The upgrade is asked for, and its answer not read yet."""
    sock = socket.create_connection(("127.0.0.1", port))
    query = f"ticket={ticket}" + (f"&cursor={cursor}" if cursor else "")
    head = f"GET /v1/stream?{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    sock.sendall((head + key).encode())
    return sock


def pin(core: int) -> None:
    """This process on one of the cores that it may use: 0 is the servers', -1 the sink's."""
    os.sched_setaffinity(0, {CORES[core]})


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 -- another process sets it
        await asyncio.sleep(0.0005)
