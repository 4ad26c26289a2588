"""What voice messages cost the others: `python -m bench.media --help`.

First recordings of several lengths one after another: how long each takes until it can be sent. Then text alone, and
the same text beside many recordings that are all due at once: what they delay it.
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from bench.pipeline import load
from bench.pipeline.latency import percentile, spread
from bench.pipeline.load import Target
from bench.pipeline.phases import machine, say
from bench.pipeline.report import Bar, Report
from bench.pipeline.watch import Watcher
from shared.testing.api import Api
from shared.testing.recordings import recording
from shared.testing.system import running
from shared.testing.uploads import fetch

LENGTHS_S = (3.0, 10.0, 30.0, 60.0, 120.0, 299.0)
BESIDE_S = 20.0
SLICE_S, CONNECTIONS = 5.0, 8
"""Text comes in slices, alone and beside recordings: each begins with its connections."""
PATIENCE_S = 300.0
OGG_BYTES = 512_000


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.media", description=__doc__)
    parser.add_argument("--info", type=Path, help="info file of a running `relaydesk run --split`; else one is started")
    parser.add_argument("--recordings", type=int, default=50, help="recordings that are due at once (default 50)")
    parser.add_argument("--rate", type=float, default=20.0, help="messages of text a second (default 20)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of text alone (default 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    return parser.parse_args()


class Recorder:
    """An agent who records."""

    def __init__(self, api: Api, conversation: str) -> None:
        self._api = api
        self._conversation = conversation

    async def uploaded(self, content: bytes) -> str:
        announced = {"purpose": "voice", "content_type": "audio/webm;codecs=opus", "size": len(content)}
        made = await self._api.ok("POST", "/v1/media", announced | {"conversation_id": self._conversation})
        got = await fetch(made["upload"]["url"], made["upload"]["method"], content)
        if got.status not in (200, 201, 204):
            raise SystemExit(f"the object store answered {got.status}")
        return str(made["media_id"])

    async def ready_after(self, media: str, look_every_s: float) -> float:
        """Seconds from `complete` until it can be sent, as often as one looks; exits where it is refused."""
        began = time.monotonic()
        await self._api.call("POST", f"/v1/media/{media}/complete")
        while time.monotonic() - began < PATIENCE_S:
            found = await self._api.ok("GET", f"/v1/media/{media}")
            if found["state"] == "ready":
                size = next(one["size"] for one in found["renditions"] if one["name"] == "ogg")
                if size > OGG_BYTES:
                    raise SystemExit(f"a voice message of {size:,} bytes")
                return time.monotonic() - began
            if found["state"] == "rejected":
                raise SystemExit(f"a recording was refused: {found['code']}")
            await asyncio.sleep(look_every_s)
        raise SystemExit("a recording was not ready in time")


class Text:
    """Customers who write at a steady rate, each at their moment."""

    def __init__(self, info: Mapping[str, Any], watcher: Watcher, rate: float) -> None:
        self._rate = rate
        self._target = Target(info["services"]["ingest"]["http"], info["channel"]["id"], info["channel"]["secret"])
        self._watcher = watcher

    async def warm_up(self) -> None:
        sent = await load.closed_loop(self._target, load.requests(self._target, 200, 1, 50), 2, 60)
        await self._watcher.all_seen(sent.accepted, 60)

    async def slice(self) -> list[float]:
        """Seconds from each intended send to its frame on the stream; exits where one is lost."""
        work = load.requests(self._target, int(self._rate * SLICE_S), 1, 50)
        sent = await load.open_loop(self._target, work, self._rate, CONNECTIONS)
        await self._watcher.all_seen(sent.accepted, 60)
        seen = self._watcher.seen
        if sent.refused or any(one not in seen for one in sent.accepted):
            raise SystemExit("messages were refused or lost")
        return [seen[one] - at for one, at in sent.intended.items()]


async def measure(info: dict[str, Any], chosen: argparse.Namespace) -> Report:
    report = Report()
    async with Api(info["api"], info["tokens"]["agent"]) as api:

        async def ticket() -> str:
            return str((await api.ok("POST", "/v1/stream/ticket"))["ticket"])

        watcher = Watcher(info["stream"], ticket)
        await watcher.start()
        text = Text(info, watcher, chosen.rate)
        await text.warm_up()
        recorder = Recorder(api, sorted(watcher.conversations)[0])
        await one_by_one(recorder, report)
        await beside(recorder, text, chosen, report)
        await watcher.stop()
    return report


async def one_by_one(recorder: Recorder, report: Report) -> None:
    over = []
    for seconds in LENGTHS_S:
        say(f"a recording of {seconds:.0f} s")
        content = recording("webm", "libopus", seconds)
        took = [await recorder.ready_after(await recorder.uploaded(content), 0.05) for _ in range(3)]
        over += [each - (0.1 * seconds + 1.0) for each in took]
        if found := spread(took):
            report.latencies[f"a recording of {seconds:.0f} s: complete -> ready"] = found
    report.bars.append(Bar("ready, seconds over 0.1 x duration + 1: p95", percentile(sorted(over), 0.95), 0, True))


async def beside(recorder: Recorder, text: Text, chosen: argparse.Namespace, report: Report) -> None:
    say(f"text alone, {chosen.rate:.0f} msg/s")
    alone = spread([each for _ in range(math.ceil(chosen.seconds / SLICE_S)) for each in await text.slice()])
    say(f"{chosen.recordings} recordings of {BESIDE_S:.0f} s at once, and the same text")
    content = recording("webm", "libopus", BESIDE_S)
    drafts = [await recorder.uploaded(content) for _ in range(chosen.recordings)]
    jobs = asyncio.gather(*(recorder.ready_after(draft, 2.0) for draft in drafts))
    delays: list[float] = []
    while not jobs.done():
        delays += await text.slice()
    ready, meanwhile = await jobs, spread(delays)
    assert alone is not None and meanwhile is not None
    report.latencies["text alone: intended send -> frame"] = alone
    report.latencies["text beside the recordings: intended send -> frame"] = meanwhile
    if found := spread(ready):
        report.latencies[f"{chosen.recordings} recordings at once: complete -> ready"] = found
    report.bars.append(Bar("text beside recordings of text alone: p99 ratio", meanwhile.p99 / alone.p99, 1.5, True))


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
    return 0 if all(bar.met for bar in report.bars) else 1


if __name__ == "__main__":
    sys.exit(main())
