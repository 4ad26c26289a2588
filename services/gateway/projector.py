"""The group `gateway` of `workspace.events`: a batch is read, folded and written in one transaction, then committed.

Death at any await: before the transaction nothing has happened and the batch comes again; after it the partition's
position says that it is applied, and it is passed over when it comes again.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from services.gateway.arrivals import arrival_of
from services.gateway.core import Arrival, ConversationState
from services.gateway.fold import (
    Changes,
    Divergence,
    Hole,
    Known,
    RowFacts,
    RowId,
    conversations_needed,
    fold,
    rows_needed,
)
from services.gateway.store.projection import Move
from shared.contracts.topics import WORKSPACE_EVENTS
from shared.runtime.batches import Batch
from shared.runtime.faults import Fatal, Fenced, Transient
from shared.runtime.metrics import Metrics
from shared.runtime.records import Partition, Record

log = structlog.stdlib.get_logger(__name__)


class Store(Protocol):
    """See `services.gateway.store.projection`."""

    async def positions(self, partitions: Collection[str]) -> dict[str, int]: ...

    async def conversations(self, keys: Collection[str]) -> dict[str, ConversationState]: ...

    async def rows(self, rows: Collection[RowId]) -> dict[RowId, RowFacts]: ...

    async def apply(self, changes: Changes, moves: Sequence[Move]) -> None: ...


def position_of(partition: int, incarnation: str) -> str:
    """The id of a partition's position: a topic made anew begins anew."""
    return f"{WORKSPACE_EVENTS}/{incarnation}/{partition}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the projector must know of the world. `decided` is told the ids of commands whose outcomes are stored."""

    incarnation: Callable[[], str]
    end_offset: Callable[[Partition], Awaitable[int]]
    decided: Callable[[Collection[str]], None]


class Projector:
    """The handler of the group; see `shared.runtime.batches.Handler`."""

    def __init__(self, store: Store, around: Surroundings, metrics: Metrics) -> None:
        self._store = store
        self._around = around
        self._buried: set[tuple[int, int]] = set()
        self._repeats = metrics.counter("projection_repeats")
        self._unplaced = metrics.counter("projection_unplaced")
        self._unknown = metrics.counter("projection_unknown_types")
        self._held = metrics.counter("projection_held")

    async def handle(self, batch: Batch) -> None:
        before = await self._store.positions({self._position(record.partition) for record in batch.records})
        fresh = [record for record in batch.records if record.offset >= before[self._position(record.partition)]]
        if not fresh:
            return
        changes = await self._fold([arrival_of(record) for record in fresh])
        try:
            await self._store.apply(changes, self._moves(before, fresh))
        except Divergence as error:
            raise self._diverged(error) from error
        self._forget_buried(fresh)
        self._around.decided(changes.outcomes.keys())
        self._count(changes)

    async def dead_lettered(self, record: Record, reason: str) -> None:
        """The position passes over what can never be applied, or the read model would never seem to have caught up."""
        self._buried.add((record.partition, record.offset))
        place = self._position(record.partition)
        with suppress(Fenced):  # something before it comes first: `handle` will take both steps
            await self._store.apply(Changes(), [Move(place, record.offset, record.offset + 1)])

    async def assigned(self, partitions: frozenset[Partition], committed: Mapping[Partition, int]) -> None:
        """Fatal where the read model is ahead of the topic: events were lost on Kafka's side."""
        positions = await self._store.positions([self._position(number) for _, number in partitions])
        for at in partitions:
            position = positions[self._position(at[1])]
            if position and position > (end := await self._around.end_offset(at)):
                raise Fatal(
                    f"the read model has applied {at[0]}/{at[1]} up to {position}, but the topic ends at {end}: "
                    "restore the topic, or rebuild the read model"
                )

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        """Nothing is kept of them."""
        topic_partitions = {number for _, number in partitions}
        self._buried = {place for place in self._buried if place[0] not in topic_partitions}

    async def _fold(self, arrivals: Sequence[Arrival]) -> Changes:
        states = await self._store.conversations(conversations_needed(arrivals))
        rows = await self._store.rows(rows_needed(arrivals, states))
        try:
            return fold(arrivals, Known(states, rows))
        except Hole as error:
            self._held.inc()
            log.error("the read model holds: an event is missing", error=str(error))
            raise Transient(str(error)) from error
        except Divergence as error:
            raise self._diverged(error) from error

    def _forget_buried(self, passed: Sequence[Record]) -> None:
        upto = {record.partition: record.offset for record in passed}
        self._buried = {place for place in self._buried if place[1] > upto.get(place[0], -1)}

    def _diverged(self, error: Divergence) -> Fatal:
        return Fatal(
            f"the log and the read model contradict each other, a backup was restored or there is a bug: {error}"
        )

    def _moves(self, before: Mapping[str, int], fresh: Sequence[Record]) -> list[Move]:
        after = {record.partition: record.offset + 1 for record in fresh}
        return [Move(place := self._position(p), before[place], self._beyond(p, offset)) for p, offset in after.items()]

    def _beyond(self, partition: int, offset: int) -> int:
        while (partition, offset) in self._buried:
            offset += 1
        return offset

    def _position(self, partition: int) -> str:
        return position_of(partition, self._around.incarnation())

    def _count(self, changes: Changes) -> None:
        self._repeats.inc(changes.repeats)
        self._unplaced.inc(changes.unplaced)
        self._unknown.inc(changes.unknown_types.total())
        if changes.unknown_types:
            log.warning("events of unknown types were archived", types=sorted(changes.unknown_types)[:5])
