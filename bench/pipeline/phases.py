"""The phases of a run against one system."""

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from bench.pipeline import cpu, load, replies
from bench.pipeline.backlog import worked_off
from bench.pipeline.floors import Floors
from bench.pipeline.latency import spread
from bench.pipeline.load import Sent, Target
from bench.pipeline.projection import Projection
from bench.pipeline.report import Bar, Report, Throughput
from bench.pipeline.watch import Watcher

DRAIN_S = 90.0
EVENT_BYTES = 1024
"""About the size of a `message.received` of the load on `workspace.events`."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Phases:
    """Each adds what it measured to the report."""

    def __init__(
        self, info: Mapping[str, Any], watcher: Watcher, projection: Projection, report: Report, contacts: int
    ) -> None:
        self._info, self._watcher, self._report, self._contacts = info, watcher, report, contacts
        self._projection = projection
        self._target = Target(info["services"]["ingest"]["http"], info["channel"]["id"], info["channel"]["secret"])
        self._services = {name: [one["pid"]] for name, one in info["services"].items()}
        self._engines = {name: [pid] for name, pid in info["engines"]["pids"].items()}

    async def warm_up(self) -> None:
        """Every contact is known and every code path has run once before anything is measured."""
        work = load.requests(self._target, max(1, self._contacts // 50), 50, self._contacts)
        sent = await load.closed_loop(self._target, work, 2, 60)
        await self._watcher.all_seen(sent.accepted, 60)
        await self._projection.caught_up(DRAIN_S)
        self._check(sent)

    async def saturate(self, events: int, seconds: float, most: int, connections: int) -> float:
        """-> messages per second; `most`: messages made beforehand at most, since what piles up must drain too."""
        say(f"saturation, {events} event(s) a request")
        work = load.requests(self._target, most // events, events, self._contacts)
        before, own = cpu.spent(self._services | self._engines), time.process_time()
        sent = await load.closed_loop(self._target, work, connections, seconds)
        posted = time.monotonic() - sent.begun
        last = await self._watcher.all_seen(sent.accepted, DRAIN_S)
        readable = await self._projection.caught_up(DRAIN_S)
        used = cpu.between(before, cpu.spent(self._services | self._engines))
        used["load"] = time.process_time() - own
        lost, repeated = self._check(sent)
        count = len(sent.accepted)
        each = {name: 1e6 * value / count for name, value in used.items()}
        self._report.throughput.append(
            Throughput(
                events_a_request=events,
                messages=count,
                seconds=last - sent.begun,
                per_second=count / (last - sent.begun),
                accepted_per_second=count / posted,
                readable_per_second=count / (readable - sent.begun),
                lost=lost,
                repeated=repeated,
                refused_requests=sent.refused,
                cpu_us=each,
                ours_us=sum(each[name] for name in self._services),
                engines_us=sum(each[name] for name in self._engines),
            )
        )
        return count / (last - sent.begun)

    async def latency(self, name: str, rate: float, seconds: float) -> None:
        say(f"latency, {name}: {rate:.0f} msg/s")
        work = load.requests(self._target, max(1, int(rate * seconds)), 1, self._contacts)
        sent = await load.open_loop(self._target, work, rate)
        await self._watcher.all_seen(sent.accepted, DRAIN_S)
        await self._projection.caught_up(DRAIN_S)
        self._check(sent)
        seen = self._watcher.seen
        self._add(f"{name}: intended send -> 202", [at - sent.intended[one] for one, at in sent.accepted.items()])
        for label, since in (("intended send", sent.intended), ("202", sent.accepted)):
            spent = [seen[one] - at for one, at in since.items() if one in seen]
            self._add(f"{name}: {label} -> stream frame", spent)

    async def floors(self, records: int) -> None:
        """Routing alone over a backlog, and beside it the same backlog without any rule."""
        say(f"floors, {records:,} records")
        work = load.requests(self._target, records // 50, 50, self._contacts)
        backlog = await worked_off(self._info, work, self._target)
        await self._watcher.all_seen(backlog.sent.accepted, DRAIN_S)
        await self._projection.caught_up(DRAIN_S)
        self._check(backlog.sent)
        engines = self._info["engines"]
        raw, bare = await Floors(engines["kafka"], engines["mongo"]).measured(backlog.records, EVENT_BYTES)
        for name, rate in (("raw aiokafka loop", raw), ("bare loop", bare), ("routing", backlog.routing)):
            self._report.floors[f"{name}: records a second"] = rate.per_second
            self._report.floors[f"{name}: records a CPU second"] = rate.per_cpu_second
        share = backlog.routing.per_cpu_second / bare.per_cpu_second
        self._report.bars.append(Bar("routing of the bare loop, records a CPU second", share, 0.35))

    async def replies(self, name: str, count: int, rate: float) -> None:
        say(f"replies, {name}")
        talks = sorted(self._watcher.conversations)
        result = await replies.measured(dict(self._info), talks, count, rate)
        self._add(f"replies, {name}: intended send -> 201", result.to_201)
        self._add(f"replies, {name}: intended send -> adapter", result.to_adapter)
        self._report.lost += result.lost
        if result.refused:
            say(f"  {result.refused} replies were not answered 201")

    def bars(self) -> None:
        many, single = self._report.throughput
        steady = self._report.latencies.get("200 msg/s: intended send -> stream frame")
        self._report.bars += [
            Bar("msg/s at 50 events a request", many.per_second, 1500),
            Bar("msg/s at one event a request", single.per_second, 300),
            Bar("services' CPU us a message, 50 events a request", many.ours_us, 600, at_most=True),
            Bar("services' CPU us a message, one event a request", single.ours_us, 600, at_most=True),
        ]
        if steady:
            self._report.bars.append(Bar("p99 ms at 200 msg/s, intended send -> frame", steady.p99, 100, at_most=True))

    def _add(self, name: str, seconds: list[float]) -> None:
        if found := spread(seconds):
            self._report.latencies[name] = found

    def _check(self, sent: Sent) -> tuple[int, int]:
        """-> (lost, repeated) of this phase, also added to the report's."""
        lost = sum(one not in self._watcher.seen for one in sent.accepted)
        repeated = sum(self._watcher.times[one] > 1 for one in sent.intended)
        self._report.lost += lost
        self._report.repeated += repeated
        return lost, repeated


def machine() -> str:
    kernel, cores = os.uname(), len(os.sched_getaffinity(0))
    return f"{cores} cores, Python {sys.version.split()[0]}, {kernel.sysname} {kernel.release}"
