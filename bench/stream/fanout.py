"""One event to many sockets: deliveries per second of CPU of the server, single and joined, beside the floors."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import cast

from picows import WSMsgType

from bench.pipeline.report import Bar
from bench.stream.figures import median, per_cpu_second
from bench.stream.floor import Floor, compiled
from bench.stream.gateway import VALUE, Gateway, gateway, record
from bench.stream.sink import Sink, until
from services.gateway.stream.connection import Connection
from services.gateway.stream.frames import framed

BURST = 16
ENVELOPE = 100
"""What a frame has around the event, in bytes; rather too few, so that the sink never waits for more than there is."""


class Fanout:
    """Connected sockets, and the ways to write to them; each step answers the CPU seconds that it took."""

    def __init__(self, server: Gateway, sink: Sink, sockets: int) -> None:
        self._server, self._sink, self._sockets = server, sink, sockets
        connections = cast("set[Connection]", server.front._connections)
        self._transports = [connection._transport for connection in connections]
        self.frame = VALUE + b"x" * ENVELOPE
        self._offset = 0

    def descriptors(self) -> list[int]:
        return [one.underlying_transport.get_extra_info("socket").fileno() for one in self._transports]

    def bare(self) -> float:
        begun = time.process_time()
        for transport in self._transports:
            transport.send(WSMsgType.TEXT, self.frame)
        return time.process_time() - begun

    def single(self) -> float:
        return self._batch(1)

    def joined(self) -> float:
        return self._batch(BURST)

    def _batch(self, count: int) -> float:
        records = [record(self._offset + at) for at in range(count)]
        self._offset += count
        begun = time.process_time()
        self._server.take(records)
        return time.process_time() - begun

    async def rate(self, step: Callable[[], float], steps: int, per_step: int = 1) -> float:
        """Deliveries per CPU second; the sink is given time to read each step's bytes."""
        spent, due = 0.0, self._sink.taken
        for _ in range(steps):
            spent += step()
            due += len(self.frame) * per_step * self._sockets
            await until(lambda due=due: self._sink.taken >= due)  # type: ignore[misc]
        await asyncio.sleep(0.02)  # the last bytes, where frames are longer than we reckon
        return per_cpu_second(steps * per_step * self._sockets, spent)


async def fanout(quick: bool) -> list[Bar]:
    sockets, events, rounds = 1_000, (64 if quick else 320), (3 if quick else 7)
    server, sink = gateway(heartbeat_s=3600), Sink()
    await server.start()
    sink.start(server.port, server.issue(sockets))
    await until(lambda: len(server.hub.everybody()) == sockets)
    await asyncio.sleep(0.5)  # the welcomes
    rates: dict[str, list[float]] = {"C floor": [], "bare picows": [], "gateway": [], "joined": []}
    with ExitStack() as stack:
        measured = Fanout(server, sink, sockets)
        program = compiled(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relaydesk-bench-"))))
        steps = {"bare picows": measured.bare, "gateway": measured.single}
        if program is not None:
            floor = Floor(program, measured.descriptors(), framed(measured.frame))
            steps["C floor"] = stack.enter_context(floor).send
        for _ in range(rounds):
            for name, step in steps.items():
                rates[name].append(await measured.rate(step, events))
            rates["joined"].append(await measured.rate(measured.joined, events // BURST, BURST))
    return _bars({name: found for name, found in rates.items() if found})


def _bars(rates: dict[str, list[float]]) -> list[Bar]:
    """Ratios of each round, since the machine's speed drifts; of these the median."""
    for name, found in rates.items():
        print(f"  {name:<14} {median(found):>10,.0f} deliveries per CPU second", flush=True)

    def ratio(of: str, to: str) -> float:
        return median([one / other for one, other in zip(rates[of], rates[to], strict=True)])

    if "C floor" in rates:
        bare, ours = ratio("bare picows", "C floor"), ratio("gateway", "C floor")
        print(f"  of the C floor: bare picows {bare:.2f}, gateway {ours:.2f}")
    return [
        Bar("1 event to 1,000 sockets, of bare picows", ratio("gateway", "bare picows"), 0.85),
        Bar(f"{BURST} events joined, times the single rate", ratio("joined", "gateway"), 6),
    ]
