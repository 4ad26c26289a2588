"""Readers that stop reading: what the others notice of it, and what it costs in memory."""

import asyncio
import multiprocessing
import re
import selectors
import socket
import time
from ctypes import c_bool
from dataclasses import replace
from typing import Any

from bench.pipeline.latency import spread
from bench.pipeline.report import Bar
from bench.stream.figures import median
from bench.stream.gateway import Gateway, gateway, record
from bench.stream.process import in_a_process
from bench.stream.sink import connected, pin, until
from shared.runtime.records import Record

SOCKETS, STALLED = 1_000, 50
EVERY = SOCKETS // STALLED
"""Of so many sockets one stalls and two others are sampled: spread evenly, because sockets are written in order."""

BATCH, PER_SECOND = 16, 25
_MOMENT = re.compile(rb'"at":(\d+)\}')


class TimingSink:
    """Reads all sockets, or all but `STALLED` of them; of some it tells the latencies, once `over` is set."""

    def __init__(self, port: int, tickets: list[str], stalled: bool) -> None:
        self._over = multiprocessing.Value(c_bool, False)
        self._receiver, sender = multiprocessing.Pipe(duplex=False)
        arguments = (port, tickets, stalled, sender)
        multiprocessing.Process(target=self._run, args=arguments, daemon=True).start()

    def latencies(self) -> list[float]:
        """Seconds. Ends the sink."""
        flag: Any = self._over.get_obj()
        flag.value = True
        found: list[float] = self._receiver.recv()
        return found

    def _run(self, port: int, tickets: list[str], stalled: bool, sender: Any) -> None:
        pin(-1)
        flag: Any = self._over.get_obj()
        poll, found, buffer = selectors.EpollSelector(), list[float](), bytearray(1 << 18)
        sockets = [connected(port, ticket) for ticket in tickets]
        for number, sock in enumerate(sockets):
            if not (stalled and number % EVERY == 0):
                poll.register(sock, selectors.EVENT_READ, number % EVERY in (EVERY // 4, 3 * EVERY // 4))
        while not flag.value:
            for key, _ in poll.select(0.1):
                assert isinstance(key.fileobj, socket.socket)
                size = key.fileobj.recv_into(buffer)
                if key.data:
                    now = time.monotonic_ns()
                    found += [(now - int(at)) / 1e9 for at in _MOMENT.findall(buffer, 0, size)]
        sender.send(found)


async def stalled(quick: bool) -> list[Bar]:
    """In turns, each in a fresh process: a p99 is made of few moments, and the machine has its own. Medians count."""
    seconds, rounds = (12.0, 1) if quick else (25.0, 3)
    pairs = [(in_a_process(_p99(False, seconds)), in_a_process(_p99(True, seconds))) for _ in range(rounds)]
    for (alone, *_), (beside, _, dismissed) in pairs:
        figures = f"{alone:.2f} alone, {beside:.2f} beside {STALLED} stalled"
        print(f"  p99 ms: {figures}, of whom {dismissed:.0f} were sent away", flush=True)
    alone, ratio = median([one[0] for one, _ in pairs]), median([other[0] / one[0] for one, other in pairs])
    most, sent_away = max(other[1] for _, other in pairs), min(other[2] for _, other in pairs)
    return [
        Bar(f"{BATCH * PER_SECOND} events/s a socket in batches of {BATCH}: p99 ms", alone, 25, at_most=True),
        Bar("p99 of the others where 5 % stall, of p99 alone", ratio, 1.2, at_most=True),
        Bar("most buffered for a stalled one, of the setting", most, 1.0 + 1 / 16, at_most=True),
        Bar("stalled readers that were sent away", sent_away, STALLED),
    ]


async def _p99(stalls: bool, seconds: float) -> tuple[float, ...]:
    """Milliseconds; the most that was buffered between two batches as a share of `buffer_bytes`; how many had to go."""
    server = gateway(heartbeat_s=3600)
    await server.start()
    sink = TimingSink(server.port, server.issue(SOCKETS), stalls)
    await until(lambda: len(server.hub.everybody()) == SOCKETS)
    await asyncio.sleep(0.5)
    most, begun = 0, time.monotonic()
    for number in range(int(seconds * PER_SECOND)):
        await asyncio.sleep(max(0.0, begun + number / PER_SECOND - time.monotonic()))
        server.take([timed(number * BATCH + at) for at in range(BATCH)])
        most = max(most, _most_buffered(server))
    await asyncio.sleep(0.5)
    found = spread(sink.latencies())
    assert found is not None
    left = len(server.hub.everybody())
    return found.p99, most / server.buffer_bytes, SOCKETS - left


def _most_buffered(server: Gateway) -> int:
    return max(subscriber.wire.buffered() for subscriber in server.hub.everybody())


def timed(offset: int) -> Record:
    plain = record(offset)
    assert plain.value is not None
    return replace(plain, value=plain.value[:-1] + b',"at":%d}' % time.monotonic_ns())
