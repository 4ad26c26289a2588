"""What traces cost: `python -m bench.tracing --help`.

Four whole systems stand beside each other and take turns under the same load: one without a collector, another one
like it (its ratio is the noise of this comparison), one that samples a hundredth, one that samples everything.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import uvloop

from bench.pipeline.phases import machine, say
from bench.tracing.sides import Side, as_json
from shared.testing.system import System, running

SAMPLES = {"off": None, "off, once more": None, "sample 0.01": "0.01", "sample 1": "1"}
BAR = 1.05


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.tracing",
        description="CPU a message and messages a second with traces, as ratios of those without, in turns",
        epilog="Exit code 1: a message was lost, or sampling a hundredth costs over 5 % of CPU a message.",
    )
    parser.add_argument("--rounds", type=int, default=10, help="turns of each system (default 10)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of load, each turn (default 4)")
    parser.add_argument("--events", type=int, default=1, help="messages a request (default 1: the dearest)")
    parser.add_argument("--contacts", type=int, default=500, help="customers who write (default 500)")
    parser.add_argument("--connections", type=int, default=16, help="keep-alive connections of the load (default 16)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of all rounds here, too")
    return parser.parse_args()


@contextmanager
def sink() -> Iterator[str]:
    command = [sys.executable, "-m", "bench.tracing.sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def systems(folder: Path, collector: str) -> Iterator[Mapping[str, System]]:
    with ExitStack() as started:
        found = {}
        for number, (name, sample) in enumerate(SAMPLES.items()):
            say(f"starting a system: {name}")
            settings = (
                {} if sample is None else {"RELAYDESK_TRACES_ENDPOINT": collector, "RELAYDESK_TRACES_SAMPLE": sample}
            )
            os.environ.update(settings)
            place = folder / str(number)
            place.mkdir()
            found[name] = started.enter_context(running(place, "--split"))
            for variable in settings:
                del os.environ[variable]
        yield found


async def measured(found: Mapping[str, System], chosen: argparse.Namespace) -> list[Side]:
    load = (chosen.seconds, chosen.events, chosen.connections)
    async with AsyncExitStack() as entered:
        sides = [
            await entered.enter_async_context(Side(name, system.info, chosen.contacts))
            for name, system in found.items()
        ]
        for side in sides:
            await side.warm_up(*load)
        for number in range(chosen.rounds):
            say(f"round {number + 1} of {chosen.rounds}")
            for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
                await side.round(*load)
    return sides


def ratio(values: list[float], base: list[float]) -> float:
    """The median of the rounds' ratios: what slows a whole round down falls on both."""
    return statistics.median(value / other for value, other in zip(values, base, strict=True))


def report(sides: list[Side]) -> str:
    off = sides[0].figures
    columns = f"{'CPU us a message':>18} {'of off':>8} {'messages a second':>19} {'of off':>8}"
    lines = [f"{'':<16} {columns}   spans exported, dropped"]
    for side in sides:
        it, spans = side.figures, side.spans()
        lines.append(
            f"{side.name:<16} {statistics.median(it.cpu_us):>18,.0f} {ratio(it.cpu_us, off.cpu_us):>8.3f}"
            f" {statistics.median(it.per_second):>19,.0f} {ratio(it.per_second, off.per_second):>8.3f}"
            f"   {spans['exported']:,}, {spans['dropped']:,}"
        )
    return "\n".join(lines)


def main() -> int:
    chosen = options()
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with ExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="relaydesk-bench-")))
        found = open_.enter_context(systems(folder, open_.enter_context(sink())))
        sides = open_.enter_context(runner).run(measured(found, chosen))
        print(f"{machine()}, {chosen.rounds} rounds of {chosen.seconds:g} s, {chosen.events} event(s) a request")
        print(report(sides))
    if chosen.json:
        chosen.json.write_text(as_json(sides))
    cost = ratio(sides[2].figures.cpu_us, sides[0].figures.cpu_us)
    lost = sum(side.figures.lost for side in sides)
    print(f"sampling a hundredth: {100 * (cost - 1):+.1f} % of CPU a message (bar: 5 %), lost {lost}")
    return 1 if lost or cost > BAR else 0


if __name__ == "__main__":
    sys.exit(main())
