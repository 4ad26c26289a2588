"""Many sockets that only wait: memory of each, beside a bare picows server's, and the CPU of heartbeats."""

import asyncio
import gc
import os
import time
from pathlib import Path

from picows import WSListener, WSTransport, WSUpgradeRequest, ws_create_server

from bench.pipeline.report import Bar
from bench.stream.figures import each, us_per_socket_second
from bench.stream.gateway import gateway
from bench.stream.process import in_a_process
from bench.stream.sink import Sink, until
from services.gateway.stream.server import READ_BUFFER_BYTES

HEARTBEAT_S = 25.0
LEAST_BEAT = len('{"type":"heartbeat"}')


def resident() -> int:
    """Bytes of this process in memory (man 5 proc, statm)."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def idle(quick: bool) -> list[Bar]:
    sockets, seconds = (2_000, 10.0) if quick else (10_000, 2 * HEARTBEAT_S)
    bare = in_a_process(_bare(sockets))[0]
    ours, cpu = in_a_process(_gateway(sockets, seconds))
    print(f"  bytes a socket at {sockets:,}: bare picows {bare:,.0f}, gateway {ours:,.0f}", flush=True)
    return [
        Bar(f"memory of an idle socket at {sockets:,}, of bare picows", ours / bare, 1.3, at_most=True),
        Bar("CPU us per socket-second, heartbeats of 25 s", cpu, 3.0, at_most=True),
    ]


async def _gateway(sockets: int, seconds: float) -> tuple[float, float]:
    server, sink = gateway(HEARTBEAT_S), Sink()
    await server.start()
    tickets = server.issue(sockets)
    before = resident()
    sink.start(server.port, tickets)
    await until(lambda: len(server.hub.everybody()) == sockets)
    await asyncio.sleep(1.0)  # the welcomes
    memory = each(before, resident(), sockets)
    begun, cpu, taken = time.monotonic(), time.process_time(), sink.taken
    await asyncio.sleep(seconds)
    spent, lasted = time.process_time() - cpu, time.monotonic() - begun
    if sink.taken - taken < sockets * int(lasted / HEARTBEAT_S) * LEAST_BEAT:
        raise RuntimeError("not every socket got its heartbeats")
    return memory, us_per_socket_second(spent, sockets, lasted)


class _Bare(WSListener):
    open: list[WSTransport] = []  # noqa: RUF012 -- one server a process

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.open.append(transport)


async def _bare(sockets: int) -> tuple[float, float]:
    def listener(request: WSUpgradeRequest) -> WSListener:
        return _Bare()

    server = await ws_create_server(
        listener, "127.0.0.1", 0, read_buffer_init_size=READ_BUFFER_BYTES, enable_auto_ping=False, backlog=4096
    )
    sink = Sink()
    before = resident()
    sink.start(server.sockets[0].getsockname()[1], [""] * sockets)
    await until(lambda: len(_Bare.open) == sockets)
    await asyncio.sleep(1.0)
    return each(before, resident(), sockets), 0.0
