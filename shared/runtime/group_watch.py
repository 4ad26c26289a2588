"""Does a group member make progress? Measured against the broker's end offsets, every few seconds."""

import asyncio
import time
from collections.abc import Mapping

from shared.runtime.end_offsets import EndOffsets
from shared.runtime.faults import Transient
from shared.runtime.group_meter import GroupMeter, Standing
from shared.runtime.holdings import Holdings
from shared.runtime.records import Partition

EVERY_S = 5.0


class GroupWatch:
    """Lag as a metric; stalls as a sentence. A stall needs proof: records the broker has and we do not take."""

    def __init__(self, holdings: Holdings, ends: EndOffsets, meter: GroupMeter, stall_s: float) -> None:
        self._holdings = holdings
        self._ends = ends
        self._meter = meter
        self._stall_s = stall_s
        self._stalled_since: dict[Partition, float] = {}
        self._seen: dict[Partition, int] = {}
        self.lag: Mapping[Partition, int] = {}

    async def run(self) -> None:
        """Until cancelled. A broker that does not answer proves nothing."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.look()
            except Transient:
                self._stalled_since.clear()

    async def look(self) -> None:
        """Ask the broker once. Raises Transient."""
        owned = self._holdings.owned
        ends = await self._ends.end(owned) if owned else {}
        positions = {at: self._holdings.positions[at] for at in owned & self._holdings.owned}
        self.lag = {at: max(0, ends[at] - position) for at, position in positions.items()}
        self._note(positions, time.monotonic())
        self._meter.standing({at: self._standing(at) for at in self.lag})

    def _note(self, positions: Mapping[Partition, int], now: float) -> None:
        stuck = {at for at, lag in self.lag.items() if lag and self._seen.get(at) == positions[at]}
        self._stalled_since = {at: self._stalled_since.get(at, now) for at in stuck}
        self._seen = dict(positions)

    def _standing(self, at: Partition) -> Standing:
        if not self.lag[at]:
            return Standing(0, 0.0, 0.0)
        stuck_s = time.monotonic() - self._stalled_since.get(at, time.monotonic())
        written = self._holdings.written.get(at)
        behind_s = stuck_s if written is None else max(0.0, time.time() - written / 1000)
        return Standing(self.lag[at], stuck_s, behind_s)

    def stalled(self) -> str | None:
        """A sentence naming the partition that has not moved for too long although there are records."""
        for (topic, partition), since in self._stalled_since.items():
            if time.monotonic() - since > self._stall_s:
                lag = self.lag.get((topic, partition), 0)
                return f"{topic}/{partition} stands still at {self._seen[topic, partition]}, {lag} behind"
        return None
