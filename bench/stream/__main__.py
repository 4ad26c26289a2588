"""What the live stream costs: `python -m bench.stream --help`."""

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import sys
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from bench.pipeline.phases import machine
from bench.pipeline.report import Bar
from bench.stream.burst import burst
from bench.stream.fanout import fanout
from bench.stream.idle import idle
from bench.stream.latency import latency
from bench.stream.others import others
from bench.stream.sink import pin
from bench.stream.stalled import stalled
from bench.stream.storm import storm

Row = Callable[[bool], Coroutine[None, None, list[Bar]]]
ROWS: dict[str, Row] = {
    "fanout": fanout,
    "burst": burst,
    "others": others,
    "idle": idle,
    "stalled": stalled,
    "storm": storm,
    "latency": latency,
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.stream",
        description="Deliveries per CPU second and memory per socket of the live stream, beside floors",
        epilog="Server on one core, sink on another. Exit code 1: a row failed; with --strict also a missed bar.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer events and sockets; figures are rough")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    parser.add_argument("--only", choices=sorted(ROWS), metavar="ROW", help=f"one of {', '.join(sorted(ROWS))}")
    parser.add_argument("--strict", action="store_true", help="exit code 1 where a bar is missed, too")
    return parser.parse_args()


def measured(row: Row, quick: bool) -> list[Bar] | None:
    """In a process of its own; None where it failed, which it has said itself."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_run, args=(row, quick, sender))
    process.start()
    sender.close()
    try:
        found: list[Bar] = receiver.recv()
    except EOFError:
        return None
    finally:
        process.join()
    return found


def _run(row: Row, quick: bool, sender: Connection) -> None:
    pin(0)
    code = 1
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            sender.send(runner.run(row(quick)))
        code = 0
    except Exception:  # noqa: BLE001 -- said here; the other rows go on
        traceback.print_exc()
    finally:
        for child in multiprocessing.active_children():
            child.kill()
        sys.stdout.flush()
        os._exit(code)


def main() -> int:
    chosen = options()
    multiprocessing.set_start_method("fork")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    bars: dict[str, list[Bar] | None] = {}
    for name in [chosen.only] if chosen.only else ROWS:
        print(f"{name} ...", flush=True)
        bars[name] = measured(ROWS[name], chosen.quick)
    found = [bar for row in bars.values() for bar in row or []]
    failed = [name for name, row in bars.items() if row is None]
    print("\n".join([machine(), *(bar.line() for bar in found), *(f"  {name:<52} FAILED" for name in failed)]))
    if chosen.json:
        content = {"machine": machine(), "failed": failed, "bars": [asdict(bar) | {"met": bar.met} for bar in found]}
        chosen.json.write_text(json.dumps(content, indent=1) + "\n")
    return 1 if failed or (chosen.strict and not all(bar.met for bar in found)) else 0


if __name__ == "__main__":
    sys.exit(main())
