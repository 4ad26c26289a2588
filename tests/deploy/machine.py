"""What this machine did meanwhile besides the work that is measured: it stood still, or others had a part of it."""

import asyncio
import os
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.processes import family

TICK_S = 0.02
LATE_S = 0.1
"""From here on a tick that is late is a standstill."""
LOOK_EVERY_S = 0.5
LEAST_SHARE = 0.2
"""Of the machine; who has less is not excused any further."""
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Excuses:
    """Monotonic seconds. `gaps`: in which whoever measured stood still; `shares`: (until, of others), 0 to 1, in order
    and without holes from `since` on."""

    since: float
    gaps: list[tuple[float, float]] = field(default_factory=list)
    shares: list[tuple[float, float]] = field(default_factory=list)

    def own(self, begin: float, end: float) -> float:
        """So long the wait from `begin` to `end` would have lasted on a machine of its own."""
        stood = sum(max(0.0, min(end, last) - max(begin, first)) for first, last in self.gaps)
        return (end - begin - stood) * max(LEAST_SHARE, 1 - self._of_others(begin, end))

    def _of_others(self, begin: float, end: float) -> float:
        """On average over that time; 0 where nobody looked."""
        taken, at = 0.0, bisect_left(self.shares, (begin,))
        for index in range(at, len(self.shares)):
            until, share = self.shares[index]
            since = self.shares[index - 1][0] if index else self.since
            taken += max(0.0, min(end, until) - max(begin, since)) * share
            if until >= end:
                break
        return taken / (end - begin) if end > begin else 0.0


class Machine:
    """`async with Machine() as excuses:` looks on from the loop that measures."""

    async def __aenter__(self) -> Excuses:
        self._excuses = Excuses(time.monotonic())
        self._tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._look())]
        return self._excuses

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            if (now := time.monotonic()) - due > LATE_S:
                self._excuses.gaps.append((due, now))

    async def _look(self) -> None:
        at, busy, ours = time.monotonic(), busy_s(), used_s()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now, now_busy, now_ours = time.monotonic(), busy_s(), used_s()
            own = sum(used - ours.get(pid, 0.0) for pid, used in now_ours.items())
            others = (now_busy - busy - own) / ((now - at) * (os.cpu_count() or 1))
            self._excuses.shares.append((now, min(1.0, max(0.0, others))))
            at, busy, ours = now, now_busy, now_ours


def busy_s() -> float:
    """CPU seconds of all processes since the machine started, and those that its host kept from it."""
    user, nice, system, _, _, irq, softirq, steal = Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / TICKS_A_SECOND


def used_s() -> Mapping[int, float]:
    """CPU seconds of each process of this family."""
    found: dict[int, float] = {}
    for pid in family(os.getpid()):
        try:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[pid] = (int(words[11]) + int(words[12])) / TICKS_A_SECOND
    return found
