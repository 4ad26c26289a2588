"""A read model made anew beside the one that is kept: of the archive, then of the log's tail.

Each conversation is copied as it was at a position of the log, and goes on from exactly there: what the tail has below
that position is in the copy already. So nothing is applied twice, not even a read mark, which the archive doesn't have.

The process dies: a part is copied whole or not at all; the tail is applied by the same transactions as the projector's.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from services.gateway.arrivals import archived, arrival_of
from services.gateway.core import Arrival, CounterName, CounterOf, contributions
from services.gateway.fold import Changes, Known, conversations_needed, fold, rows_needed, touched
from services.gateway.projector import Store
from services.gateway.store.projection import Move
from services.gateway.store.rebuild import END, Archived, Part, RebuildStore
from shared.runtime.faults import Fenced, Poison
from shared.runtime.progress import Progress, Tell
from shared.runtime.records import Record

EVENTS_AT_ONCE = 2_000
STATES_AT_ONCE = 2_000


class Log(Protocol):
    """`workspace.events` as it is read here. All calls raise Transient while Kafka is away."""

    def position_of(self, partition: int) -> str:
        """The id of the partition's position."""

    async def ends(self) -> dict[int, int]:
        """Partition -> the offset that its next record gets."""

    async def read(self, partition: int, start: int, end: int, most: int) -> list[Record]:
        """OffsetGone where the log doesn't reach back to `start`."""


class Rebuild:
    def __init__(self, store: RebuildStore, model: Store, log: Log, tell: Tell) -> None:
        """`model`: the projector's side of the target."""
        self._store = store
        self._model = model
        self._log = log
        self._tell = tell
        self._parts: list[Part] = []

    async def run(self, fresh: bool = False) -> None:
        """Return when the target was as new as the log. Goes on where an earlier one stopped."""
        phase = await self._store.begin(fresh)
        self._parts = await self._store.parts()
        if phase == "archive":
            await self._copy()
            await self._count()
        await self.catch_up()

    async def catch_up(self) -> int:
        """After `run`. Apply what the log has more; -> how many records that were."""
        ends = await self._log.ends()
        places = {partition: self._log.position_of(partition) for partition in ends}
        at = await self._model.positions(places.values())
        begun = {partition: at[place] for partition, place in places.items()}
        total = sum(max(0, ends[partition] - start) for partition, start in begun.items())
        done = 0
        for partition, start in begun.items():
            while start < ends[partition]:
                after = await self._advance(partition, start, ends[partition])
                done, start = done + after - start, after
                self._tell(Progress("tail", done, total))
        return done

    async def _copy(self) -> None:
        total = await self._store.archived_about()
        done = sum(part.events for part in self._parts)
        while not self._parts or self._parts[-1].last != END:
            after = self._parts[-1].last if self._parts else ""
            found = await self._store.snapshot(after, EVENTS_AT_ONCE)
            events = sum(len(conversation.events) for conversation in found.conversations)
            last = found.conversations[-1].key if found.conversations else END
            part = Part(last, found.positions, events)
            await self._store.fill(after, part, [copied(conversation) for conversation in found.conversations])
            self._parts.append(part)
            done += events
            self._tell(Progress("archive", done, max(done, total)))

    async def _count(self) -> None:
        counters: dict[CounterOf, Counter[CounterName]] = {}
        after = ""
        while states := await self._store.states(after, STATES_AT_ONCE):
            for state in states:
                for whose, name in contributions(state):
                    counters.setdefault(whose, Counter())[name] += 1
            after = states[-1].key
        await self._store.close_archive(counters, self._parts[0].positions)

    async def _advance(self, partition: int, start: int, end: int) -> int:
        records = await self._log.read(partition, start, end, EVENTS_AT_ONCE)
        after = records[-1].offset + 1 if len(records) == EVENTS_AT_ONCE else end
        arrivals = [arrival for record in records if (arrival := self._fresh(record)) is not None]
        states = await self._model.conversations(conversations_needed(arrivals))
        rows = await self._model.rows(rows_needed(arrivals, states))
        changes = fold(arrivals, Known(states, rows))
        changes.outcomes.clear()  # they are the commands', which are not made anew
        place = self._log.position_of(partition)
        try:
            await self._model.apply(changes, [Move(place, start, after)])
        except Fenced:  # a gateway keeps this model already: it was faster
            return max(start, (await self._model.positions([place]))[place])
        return after

    def _fresh(self, record: Record) -> Arrival | None:
        """None for what is in the copy already, or was dead-lettered by the projector."""
        try:
            arrival = arrival_of(record)
        except Poison:
            return None
        key = touched(arrival)
        if key is None:
            return arrival
        part = self._parts[bisect_left(self._parts, key, key=lambda part: part.last)]
        return arrival if record.offset >= part.positions.get(self._log.position_of(record.partition), 0) else None


def copied(conversation: Archived) -> Changes:
    """A conversation as its archive makes it; how far it was read is not in there and comes along."""
    made = fold(_arrivals(conversation), Known())
    state, up_to = made.conversations[conversation.key], conversation.read_up_to
    if up_to:
        settled = made.rows[conversation.key, up_to].received
        state = replace(state, settled=max(state.settled, settled), read_up_to=up_to)
    made.conversations[conversation.key] = state
    return made


def _arrivals(conversation: Archived) -> Sequence[Arrival]:
    return [archived(event) for event in conversation.events]
