"""One event to many sockets: deliveries per second of CPU of the stream server, beside a bare picows loop.

python -m bench.stream_fanout [SOCKETS] [EVENTS]      server on one core, the reading side on another; no engines needed
"""

import asyncio
import multiprocessing
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable
from ctypes import c_uint64
from datetime import UTC, datetime
from typing import Any, NamedTuple

import uvloop
from picows import WSMsgType

from services.gateway.stream.backfill import Backfill, BackfillSettings
from services.gateway.stream.catchup import CatchUp
from services.gateway.stream.cursor import Cursors
from services.gateway.stream.gate import Gate
from services.gateway.stream.hub import Hub
from services.gateway.stream.intake import Intake
from services.gateway.stream.server import StreamServer
from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.ticket import Pass, Tickets
from shared.runtime.clock import SystemClock
from shared.runtime.metrics import Metrics
from shared.runtime.records import Record

WORKSPACE = "acme"
VALUE = b'{"data":{"text":"' + b"x" * 480 + b'"}}'
ROUNDS = 5
BURST = 16
ENVELOPE = 100
"""What a frame has around the event, in bytes; rather too few, so that the sink never waits for more than there is."""


class Sink:
    """Another process: opens the sockets and reads whatever comes; `taken` counts the bytes after the upgrades."""

    def __init__(self) -> None:
        self.taken = multiprocessing.Value(c_uint64, 0)

    def start(self, port: int, tickets: list[str]) -> None:
        process = multiprocessing.Process(target=self._run, args=(port, tickets), daemon=True)
        process.start()

    def _run(self, port: int, tickets: list[str]) -> None:
        _pin(-1)
        poll = selectors.EpollSelector()
        for ticket in tickets:
            poll.register(_connected(port, ticket), selectors.EVENT_READ)
        buffer = bytearray(1 << 18)
        counter: Any = self.taken.get_obj()
        while True:
            for key, _ in poll.select():
                assert isinstance(key.fileobj, socket.socket)
                counter.value += key.fileobj.recv_into(buffer)


def _connected(port: int, ticket: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    head = f"GET /v1/stream?ticket={ticket} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    sock.sendall((head + key).encode())
    assert b"101" in sock.recv(4096)
    return sock


class Server(NamedTuple):
    """The stream without Kafka."""

    hub: Hub
    stream: StreamServer
    tickets: Tickets


def _server() -> Server:
    settings, clock = StreamSettings(key=b"bench", heartbeat_s=3600, ring_entries=1_000), SystemClock()
    cursors = Cursors(settings.key, lambda: "one", clock, settings.cursor_max_age.total_seconds())
    intake = Intake(cursors)
    hub = Hub(intake, settings, Metrics())
    hub.begin({0: 0})
    catch_up = CatchUp(hub, Backfill(_nothing, intake, BackfillSettings()), cursors, settings, clock)
    tickets = Tickets(settings.key, 3600)
    gate = Gate(tickets, settings, lambda: datetime.now(UTC).timestamp())
    return Server(hub, StreamServer(gate, hub, catch_up, settings, clock), tickets)


async def _nothing(partition: int, first: int, end: int) -> list[Record]:
    return []


def _record(offset: int) -> Record:
    headers = {"type": b"t", "subject": b"c", "seq": b"%d" % (offset + 1), "causationid": b"cause"}
    return Record("workspace.events", 0, offset, WORKSPACE.encode(), VALUE, headers, 0)


class Fanout:
    """Connected sockets, and the two ways to write to them; each step answers the bytes that it wrote at least."""

    def __init__(self, server: Server, sink: Sink, sockets: int) -> None:
        self._server, self._counter, self._sockets = server, sink.taken.get_obj(), sockets
        self._transports = [connection._transport for connection in server.stream._connections]
        self._frame = VALUE + b"x" * ENVELOPE
        self._offset = 0

    def bare(self) -> int:
        for transport in self._transports:
            transport.send(WSMsgType.TEXT, self._frame)
        return len(self._frame) * self._sockets

    def single(self) -> int:
        return self._batch(1)

    def joined(self) -> int:
        return self._batch(BURST)

    def _batch(self, count: int) -> int:
        records = [_record(self._offset + at) for at in range(count)]
        self._offset += count
        self._server.hub.on_records(records)
        return (len(VALUE) + ENVELOPE) * count * self._sockets

    async def rate(self, step: Callable[[], int], steps: int, per_step: int) -> float:
        """Deliveries per CPU second; the sink is given time to read each step's bytes."""
        spent, due = 0.0, self._counter.value
        for _ in range(steps):
            begun = time.process_time()
            due += step()
            spent += time.process_time() - begun
            await self._taken(due)
        return steps * per_step * self._sockets / spent

    async def _taken(self, due: int) -> None:
        await _until(lambda: self._counter.value >= due)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 -- another process sets it
        await asyncio.sleep(0.0005)


async def _measure(sockets: int, events: int) -> None:
    server, sink = _server(), Sink()
    await server.stream.start()
    holder, now = Pass(WORKSPACE, "ann", "agent", time.time() + 86_400), time.time()
    tickets = [server.tickets.issue(holder, now, str(number)) for number in range(sockets)]
    sink.start(int(server.stream.address.split(":")[2].split("/")[0]), tickets)
    await _until(lambda: len(server.hub.everybody()) == sockets)
    await asyncio.sleep(0.5)  # the welcomes
    fanout = Fanout(server, sink, sockets)
    for _ in range(ROUNDS):
        floor = await fanout.rate(fanout.bare, events, 1)
        single = await fanout.rate(fanout.single, events, 1)
        joined = await fanout.rate(fanout.joined, events // BURST, BURST)
        ratios = f"({single / floor:.2f})   {BURST} joined {joined / single:.1f} x"
        print(f"deliveries per CPU second: bare picows {floor:9,.0f}   stream {single:9,.0f} {ratios}")
    os._exit(0)  # the sink is a daemon and ends with us


def _pin(core: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[core]})


if __name__ == "__main__":
    sockets, events = (int(argument) for argument in (*sys.argv[1:], *("200", "1000")[len(sys.argv) - 1 :]))
    multiprocessing.set_start_method("fork")
    print(f"{sockets} sockets, {events} events of {len(VALUE)} bytes, {os.cpu_count()} cores, Python {sys.version[:6]}")
    _pin(0)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_measure(sockets, events))
