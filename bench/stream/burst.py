"""Bursts: events that come one by one, faster than each of them could be written to every socket for itself."""

import asyncio
import time

from bench.pipeline.latency import spread
from bench.pipeline.report import Bar
from bench.stream.figures import median, per_cpu_second
from bench.stream.gateway import gateway
from bench.stream.process import in_a_process
from bench.stream.sink import until
from bench.stream.stalled import SOCKETS, TimingSink, timed

BURST_A_SECOND = 400
CALM_A_SECOND = 50
"""Unjoined, this is what a core can do without being full."""


async def burst(quick: bool) -> list[Bar]:
    """All of the server's CPU counts."""
    seconds, rounds = (5.0, 1) if quick else (10.0, 3)
    pairs = []
    for _ in range(rounds):
        single, _ = in_a_process(_measured(CALM_A_SECOND, False, seconds))
        joined, p99 = in_a_process(_measured(BURST_A_SECOND, True, seconds))
        pairs.append((joined / single, p99))
        print(f"  deliveries per CPU second: single {single:,.0f}, burst {joined:,.0f}, p99 {p99:.1f} ms", flush=True)
    return [
        Bar(f"{BURST_A_SECOND} events/s to each of 1,000: times the single rate", median([r for r, _ in pairs]), 6),
        Bar("the same, from record to reader: p99 ms", median([p99 for _, p99 in pairs]), 25, at_most=True),
    ]


async def _measured(per_second: int, joins: bool, seconds: float) -> tuple[float, ...]:
    """Deliveries a CPU second, and the p99 in milliseconds."""
    server = gateway(heartbeat_s=3600, joins=joins)
    await server.start()
    sink = TimingSink(server.port, server.issue(SOCKETS), stalled=False)
    await until(lambda: len(server.hub.everybody()) == SOCKETS)
    await asyncio.sleep(0.5)
    events, begun, used = int(seconds * per_second), time.monotonic(), time.process_time()
    for number in range(events):
        await asyncio.sleep(max(0.0, begun + number / per_second - time.monotonic()))
        server.take([timed(number)])
    await asyncio.sleep(0.1)
    rate = per_cpu_second(events * SOCKETS, time.process_time() - used)
    found = spread(sink.latencies())
    assert found is not None
    if found.samples < events:
        raise RuntimeError("events are missing")
    return rate, found.p99
