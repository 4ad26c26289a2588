"""One system under load, again and again: what a message costs its services, and how many it takes a second."""

import json
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.pipeline import cpu, load
from bench.pipeline.load import Target
from bench.pipeline.projection import Projection
from bench.pipeline.watch import Watcher
from shared.runtime.trace_export import EVERY_MS
from shared.testing.api import Api

DRAIN_S = 60.0
EXPORTED_WITHIN_S = 15.0
QUIET_S = 1.2 * EVERY_MS / 1000
"""A batch of spans waits for less: who counts the same before and after has counted all."""


@dataclass(slots=True)
class Figures:
    """Of the rounds, in their order. `cpu_us`: of the services, a message, until the read model has it."""

    cpu_us: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    lost: int = 0


class Side:
    """An async context manager. `info` is that of a `relaydesk run --split`."""

    def __init__(self, name: str, info: Mapping[str, Any], contacts: int) -> None:
        self.name = name
        self.figures = Figures()
        self._info, self._contacts = info, contacts
        self._target = Target(info["services"]["ingest"]["http"], info["channel"]["id"], info["channel"]["secret"])
        self._services = {name: [one["pid"]] for name, one in info["services"].items()}
        self._api = Api(info["services"]["gateway"]["http"], info["tokens"]["agent"])
        self._projection = Projection(info["engines"]["kafka"])
        self._watcher = Watcher(info["stream"], self._ticket)

    async def __aenter__(self) -> "Side":
        await self._api.__aenter__()
        await self._projection.__aenter__()
        await self._watcher.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._watcher.stop()
        await self._projection.__aexit__()
        await self._api.__aexit__(None, None, None)

    async def round(self, seconds: float, events: int, connections: int) -> None:
        work = load.requests(self._target, int(3000 * seconds / events), events, self._contacts)
        before = sum(cpu.spent(self._services).values())
        sent = await load.closed_loop(self._target, work, connections, seconds)
        last = await self._watcher.all_seen(sent.accepted, DRAIN_S)
        await self._projection.caught_up(DRAIN_S)
        used = sum(cpu.spent(self._services).values()) - before
        count = len(sent.accepted)
        self.figures.cpu_us.append(1e6 * used / count)
        self.figures.per_second.append(count / (last - sent.begun))
        self.figures.lost += sum(one not in self._watcher.seen for one in sent.accepted)

    async def warm_up(self, seconds: float, events: int, connections: int) -> None:
        await self.round(seconds, events, connections)
        self.figures = Figures(lost=self.figures.lost)

    def spans(self) -> dict[str, int]:
        """What the services counted until nothing came any more: exported, dropped."""
        counted, until = self._spans(), time.monotonic() + EXPORTED_WITHIN_S
        while time.monotonic() < until:
            time.sleep(QUIET_S)
            if counted == (counted := self._spans()):
                break
        return counted

    def _spans(self) -> dict[str, int]:
        lines = [line for one in self._info["services"].values() for line in _metrics(one["probe"])]
        return {what: _sum(lines, f"relaydesk_spans_{what}_total") for what in ("exported", "dropped")}

    async def _ticket(self) -> str:
        return str((await self._api.ok("POST", "/v1/stream/ticket"))["ticket"])


def _sum(lines: list[str], metric: str) -> int:
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric)))


def _metrics(probe: str) -> list[str]:
    with urllib.request.urlopen(f"{probe}/metrics") as answer:
        return str(answer.read().decode()).splitlines()


def as_json(sides: list[Side]) -> str:
    figures = {side.name: {"cpu_us": side.figures.cpu_us, "per_second": side.figures.per_second} for side in sides}
    return json.dumps(figures, indent=1) + "\n"
