"""The read model on a real MongoDB, with either driver, without Kafka: a log is a list, a topic partition its index."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from services.gateway.fold import Row
from services.gateway.projector import Projector, Surroundings
from services.gateway.store.documents import conversation_state, counter_id
from services.gateway.store.projection import ProjectionStore
from shared.runtime.batches import Batch
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.records import Partition, Record
from tests.unit.gateway.histories import Event, record_of

END = 10**9


class Log:
    """What Kafka would hold: events with their offsets, all in one partition."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.records = [record_of(event, offset) for offset, event in enumerate(events)]

    @staticmethod
    def of(records: Sequence[Record]) -> Batch:
        return Batch(list(records), {})

    def batch(self, start: int, end: int | None = None) -> Batch:
        return Batch(self.records[start:end], {})


class Model:
    """Projectors over one database, and what is in it."""

    def __init__(self, mongo: Mongo) -> None:
        self.mongo = mongo
        self.decided: list[str] = []
        self.end = END

    def projector(self, store: ProjectionStore | None = None) -> Projector:
        around = Surroundings(lambda: "life-1", self._end_offset, self._note)
        return Projector(store or ProjectionStore(self.mongo), around, Metrics())

    async def apply(self, events: Sequence[Event]) -> None:
        if events:
            await self.projector().handle(Log(events).batch(0))

    async def dump(self, *collections: str) -> dict[str, list[dict[str, Any]]]:
        names = collections or ("conversations", "events", "counters", "positions")
        found = await asyncio.gather(*(self.mongo.db[name].find().sort("_id", 1).to_list(None) for name in names))
        return dict(zip(names, found, strict=True))

    async def counters(self) -> dict[tuple[str, str], int]:
        """(counter document, name) -> count, without zeros."""
        found = await self.mongo.db["counters"].find().to_list(None)
        counts = {(row["_id"], name): row[name] for row in found for name in row if name not in ("_id", "workspace")}
        return {place: count for place, count in counts.items() if count}

    async def states(self) -> dict[tuple[str, str], tuple[Any, ...]]:
        found = [conversation_state(row) for row in await self.mongo.db["conversations"].find().to_list(None)]
        return {(s.workspace, s.id): (s.seq, s.status == "open", s.assignee, s.needs_human, s.unread) for s in found}

    async def _end_offset(self, at: Partition) -> int:
        return self.end

    def _note(self, commands: Collection[str]) -> None:
        self.decided += commands


def counter_place(whose: tuple[str, str | None, str]) -> tuple[str, str]:
    workspace, member, name = whose
    return counter_id((workspace, member)), name


__all__ = ["Log", "Model", "Record", "Row", "counter_place"]
