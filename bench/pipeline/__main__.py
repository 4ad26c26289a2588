"""What the message pipeline costs: `python -m bench.pipeline --help`."""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvloop

from bench.pipeline.phases import Phases, machine, say
from bench.pipeline.projection import Projection
from bench.pipeline.report import Report
from bench.pipeline.watch import Watcher
from shared.testing.api import Api
from shared.testing.system import running


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.pipeline",
        description="Messages a second, CPU a message and latencies, ingest to stream, beside floors",
        epilog="Exit code 1: a message was lost or repeated, or the run failed; with --strict also a missed bar.",
    )
    parser.add_argument("--info", type=Path, help="info file of a running `relaydesk run --split`; else one is started")
    parser.add_argument("--quick", action="store_true", help="short phases, some 40 s in all; figures are rough")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    parser.add_argument("--contacts", type=int, default=500, help="customers who write (default 500)")
    parser.add_argument("--connections", type=int, default=16, help="keep-alive connections of the load (default 16)")
    parser.add_argument("--strict", action="store_true", help="exit code 1 where a bar is missed, too")
    return parser.parse_args()


async def measure(info: dict[str, Any], chosen: argparse.Namespace) -> Report:
    report, seconds = Report(), 5.0 if chosen.quick else 20.0
    gateway, kafka = info["services"]["gateway"]["http"], info["engines"]["kafka"]
    async with Api(gateway, info["tokens"]["agent"]) as api, Projection(kafka) as projection:

        async def ticket() -> str:
            return str((await api.ok("POST", "/v1/stream/ticket"))["ticket"])

        watcher = Watcher(info["stream"], ticket)
        await watcher.start()
        phases = Phases(info, watcher, projection, report, chosen.contacts)
        await phases.warm_up()
        await phases.saturate(50, seconds, int(2500 * seconds), chosen.connections)
        single = await phases.saturate(1, seconds, int(1000 * seconds), chosen.connections)
        await phases.latency("200 msg/s", 200, seconds)
        await phases.latency("half of saturation", single / 2, seconds)
        await phases.floors(5_000 if chosen.quick else 20_000)
        await phases.replies("20/s", int(20 * seconds / 2), 20)
        await phases.replies("a burst of 50", 50, 0)
        phases.bars()
        await watcher.stop()
    return report


def main() -> int:
    chosen = options()
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with tempfile.TemporaryDirectory(prefix="relaydesk-bench-") as folder, runner:
        if chosen.info:
            report = runner.run(measure(json.loads(chosen.info.read_text()), chosen))
        else:
            say("starting a system")
            with running(Path(folder), "--split") as system:
                report = runner.run(measure(system.info, chosen))
    print(f"{machine()}\n{report.text()}")
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": machine()} | report.as_json(), indent=1) + "\n")
    missed = chosen.strict and not all(bar.met for bar in report.bars)
    return 1 if report.lost or report.repeated or missed else 0


if __name__ == "__main__":
    sys.exit(main())
