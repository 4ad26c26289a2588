"""Dispatch's stores in memory, and crashes: the process ends between any two of its steps, what is stored stays."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.dispatch.core.bot import ERASED, Request
from services.dispatch.core.delivery import Delivery
from services.dispatch.core.erasing import erased
from services.dispatch.ports import LaneStart, Query
from shared.contracts.ids import document_key
from shared.runtime.records import Outgoing


class Crash(BaseException):
    """SIGKILL: nothing after it runs."""


@dataclass
class Steps:
    """Counts what a process does; `crash_at` (1, 2, …): die instead of the step with that number."""

    crash_at: int | None = None
    count: int = 0
    names: list[str] = field(default_factory=list)

    def step(self, name: str) -> None:
        self.count += 1
        self.names.append(name)
        if self.count == self.crash_at:
            raise Crash(name)


class MemoryDeliveries:
    """`DeliveryShelf`, `DeliveryStore` and `DeliveryBook`. `away`: how many calls fail because the database is away."""

    def __init__(self) -> None:
        self.rows: dict[str, Delivery] = {}
        self.fences: dict[str, int] = {}
        self.pending: dict[str, list[Outgoing]] = {}
        self.steps = Steps()
        self.away = 0

    async def add(self, deliveries: Sequence[Delivery], fences: Mapping[str, int]) -> Collection[str]:
        self._call("add")
        for lane, epoch in fences.items():
            self.fences[lane] = max(epoch, self.fences.get(lane, 0))
        before = set(self.rows)
        for delivery in deliveries:
            self.rows.setdefault(delivery.ident, delivery)
        self.steps.step("added")
        return self.rows.keys() - before

    async def erase(self, lane: str, up_to_seq: int, at: datetime) -> int:
        """One after the other: it may die between any two of them."""
        ended = 0
        for row in [row for row in self._ordered() if row.lane == lane and row.record.seq <= up_to_seq]:
            self._call("erase")
            ended += row.end is None
            self.rows[row.ident] = erased(row, at)
            self.pending.pop(row.ident, None)
        return ended

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]:
        self._call("load")
        wanted, starts = set(partitions), dict[str, LaneStart]()
        for row in self._ordered():
            if row.end is None and row.partition in wanted:
                starts.setdefault(row.lane, LaneStart(row.lane, row.partition, row.record.channel_id, row.next_at))
        return list(starts.values())

    async def head(self, lane: str, partition: int) -> Delivery | None:
        self._call("head")
        rows = (row for row in self._ordered() if row.lane == lane and row.partition == partition and row.end is None)
        return next(rows, None)

    async def epoch(self, lane: str) -> int:
        self._call("epoch")
        return self.fences.get(lane, 0)

    async def swap(self, seen: Delivery, after: Delivery, report: Outgoing | None = None) -> bool:
        self._call(f"swap to {after.state}")
        stored = self.rows[seen.ident]
        if _version(stored) != _version(seen):
            return False
        self.rows[seen.ident] = after
        if report is not None:
            self.pending[seen.ident] = [report]
        self.steps.step(f"swapped to {after.state}")
        return True

    async def find(self, workspace: str, message_id: str) -> Delivery | None:
        self._call("find")
        return self.rows.get(document_key(workspace, message_id))

    async def missing(self, idents: Sequence[str]) -> set[str]:
        return set(idents) - self.rows.keys()

    async def open_ones(self, after: str, limit: int) -> list[Delivery]:
        found = [row for ident, row in sorted(self.rows.items()) if ident > after and row.end is None]
        return found[:limit]

    async def nudged(self, since: datetime) -> list[str]:
        self._call("nudged")
        return sorted({row.lane for row in self.rows.values() if row.nudged_at is not None and row.nudged_at >= since})

    async def page(self, query: Query) -> list[Delivery]:
        self._call("page")
        found = [row for _, row in sorted(self.rows.items()) if _matches(row, query)]
        return found[: query.limit]

    def _call(self, name: str) -> None:
        self.steps.step(name)
        if self.away:
            self.away -= 1
            raise ConnectionError("the database is away")

    def _ordered(self) -> list[Delivery]:
        return sorted(self.rows.values(), key=lambda row: (row.lane, row.record.seq))


class MemoryErasures:
    """`Erasures`."""

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}
        self.steps = Steps()

    async def raised(self, erasures: Mapping[str, int], lanes: Iterable[str]) -> Mapping[str, int]:
        self.steps.step("raise")
        for lane, seq in erasures.items():
            self.kept[lane] = max(seq, self.kept.get(lane, 0))
        self.steps.step("raised")
        return {lane: self.kept[lane] for lane in lanes if lane in self.kept}


class MemoryReports:
    """`Reports`: `published` is what the broker has."""

    def __init__(self, pending: dict[str, list[Outgoing]]) -> None:
        self._pending = pending
        self.published: list[Outgoing] = []
        self.steps = Steps()
        self.away = False

    async def tell(self, ident: str, record: Outgoing) -> None:
        self.steps.step("publish")
        if self.away:
            raise ConnectionError("the broker is away")
        self.published.append(record)
        self.steps.step("published")
        self._pending.pop(ident, None)

    async def tell_left(self, partitions: Iterable[int]) -> None:
        for ident, records in list(self._pending.items()):
            for record in records:
                await self.tell(ident, record)


class MemoryRequests:
    """`RequestStore`. `skeletons`: the questions of which nothing else is left."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Request, datetime]] = {}
        self.ended: dict[str, str] = {}
        self.pending: dict[str, list[Outgoing]] = {}
        self.skeletons: set[str] = set()

    async def add(self, requests: Sequence[tuple[Request, datetime]]) -> Collection[str]:
        new = set[str]()
        for request, at in requests:
            if request.ident in self.rows or request.ident in self.skeletons:
                continue
            new.add(request.ident)
            self.rows[request.ident] = (request, at)
            if request.erased:
                self._bare(request.ident)
        return new

    async def erase(self, lane: str, up_to_seq: int, at: datetime) -> int:
        rows = [row for row, _ in self.rows.values() if row.lane == lane and row.record.message.seq <= up_to_seq]
        return sum([self._bare(row.ident) for row in rows])

    async def erased(self, request: Request) -> bool:
        return request.ident in self.skeletons

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]:
        wanted, starts = set(partitions), dict[str, LaneStart]()
        for request, at in self._open():
            if request.partition in wanted:
                start = LaneStart(request.lane, request.partition, request.record.channel_id, at)
                starts.setdefault(request.lane, start)
        return list(starts.values())

    async def head(self, lane: str, partition: int) -> Request | None:
        return next((request for request, _ in self._open() if request.lane == lane), None)

    async def end(self, request: Request, outcome: str, at: datetime, told: Outgoing | None) -> bool:
        if request.ident in self.ended:
            return False
        self.ended[request.ident] = outcome
        if told is not None:
            self.pending[request.ident] = [told]
        return True

    def _bare(self, ident: str) -> bool:
        """Whether it was open."""
        del self.rows[ident]
        self.pending.pop(ident, None)
        self.skeletons.add(ident)
        was_open = ident not in self.ended
        self.ended.setdefault(ident, ERASED)
        return was_open

    async def missing(self, idents: Sequence[str]) -> set[str]:
        return set(idents) - self.rows.keys() - self.skeletons

    async def open_ones(self, after: str, limit: int) -> list[Request]:
        found = [row for ident, (row, _) in sorted(self.rows.items()) if ident > after and ident not in self.ended]
        return found[:limit]

    def _open(self) -> list[tuple[Request, datetime]]:
        rows = [row for ident, row in self.rows.items() if ident not in self.ended]
        return sorted(rows, key=lambda row: (row[0].lane, row[0].record.message.seq))


def _version(delivery: Delivery) -> tuple[str, int, str | None, datetime | None]:
    return delivery.state, delivery.attempt, delivery.claim.owner if delivery.claim else None, delivery.nudged_at


def _matches(row: Delivery, query: Query) -> bool:
    after = query.after is None or row.record.message_id > query.after
    channel = query.channel_id in (None, row.record.channel_id)
    return row.record.workspace == query.workspace and row.state in query.states and channel and after
