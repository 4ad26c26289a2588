"""The batch protocol (DESIGN 3, routing 1-5) as a pure function: arrivals and documents -> what to write and publish.

Knows no database, no broker, no clock: `handlers` carries a plan out, and tests drive it through every crash.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.routing import core, memory, outgoing
from services.routing.core import Counted, Decision, Illegal, Known, State
from services.routing.documents import Arrival, Document, Entry, advanced
from services.routing.memory import Remembered
from shared.contracts.commands import CommandRecord, EraseContact
from shared.contracts.topics import CHANNEL_OUTBOUND, MAX_RECORD_BYTES, WORKSPACE_EVENTS
from shared.runtime.faults import Poison
from shared.runtime.records import Outgoing, Record
from shared.runtime.traced_records import carrying

MIB = 1024 * 1024
PENDING_LIMIT = 4 * MIB
PLAN_LIMIT = 16 * MIB
RECORD_LIMIT = MAX_RECORD_BYTES - 16 * 1024
REPEATABLE_MS = 14 * 24 * 3600 * 1000

Decide = Callable[[State | None, Any, str, Known], Decision]
Wave = tuple[Outgoing, ...]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a plan stands on. `committed`: the group's offsets by source, of the sources that we read now.

    `now` (shared.contracts.times) and `now_ms` are the same moment.
    """

    documents: Mapping[str, Document]
    remembered: Mapping[str, Remembered]
    committed: Mapping[str, int]
    now: str
    now_ms: int


Owed = Callable[[Entry, Ground], bool]


def owed(entry: Entry, ground: Ground) -> bool:
    """Whether an entry of a stored document may never have been acknowledged, so that it must be kept and published.

    Below the committed offset it was (offsets are committed after that). A source that we don't read now (a former
    incarnation) has no committed offset: its entries count as owed. What others act on is repeated for 14 days only,
    since they know for 15 what they have done; events are known by their seq for ever.
    """
    if entry.offset < ground.committed.get(entry.source, 0):
        return False
    return entry.record.topic == WORKSPACE_EVENTS or ground.now_ms - entry.at_ms < REPEATABLE_MS


@dataclass(frozen=True, slots=True)
class Rules:
    """The two questions that the protocol asks, and its limits in bytes: of a document's entries, of a plan's."""

    decide: Decide = core.decide
    owed: Owed = owed
    pending_limit: int = PENDING_LIMIT
    plan_limit: int = PLAN_LIMIT


RULES = Rules()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that the rules refuse: bad input from outside, to be dead-lettered before its offset passes."""

    record: Record
    why: Illegal


@dataclass(frozen=True, slots=True)
class Plan:
    """The first `taken` arrivals. Dead-letter the `refused`, write `writes` and `remembered` in one transaction, then
    publish the waves, each acknowledged before the next; after that the documents are as in `settled`: nothing of
    theirs is owed. Of the documents `erased` the outcomes that were remembered before are forgotten in that write."""

    taken: int
    refused: tuple[Refusal, ...]
    writes: tuple[Document, ...]
    remembered: tuple[Remembered, ...]
    waves: tuple[Wave, ...]
    settled: tuple[Document, ...]
    decided: int
    counted: Mapping[Counted, int]
    erased: tuple[str, ...] = ()


def plan(arrivals: Sequence[Arrival], ground: Ground, rules: Rules = RULES) -> Plan:
    """As many arrivals as the limits allow, in order; fewer than all: carry it out and plan the rest anew.

    Raises Poison where too much would follow from the *first* arrival; a later one ends the plan before it. So when a
    record is put aside, all before it has been applied: else its rejection would mark their offsets as applied too.
    """
    fold = _Fold(ground, rules)
    taken = 0
    for arrival in arrivals:
        try:
            if not fold.take(arrival):
                break
        except Poison:
            if taken:
                break
            raise
        taken += 1
    return fold.plan(taken)


@dataclass(slots=True)
class _Desk:
    """One document while it is worked on. `tail`: what is owed to readers, the new included."""

    stored: Document
    state: State | None
    applied: Mapping[str, int]
    tail: list[Entry]
    size: int
    changed: bool = False

    def written(self) -> Document:
        return Document(self.stored.key, self.stored.version + 1, self.applied, tuple(self.tail), self.state)


@dataclass(slots=True)
class _Fold:
    ground: Ground
    rules: Rules
    desks: dict[str, _Desk] = field(default_factory=dict)
    remembered: dict[str, Remembered] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    counted: Counter[Counted] = field(default_factory=Counter)
    erased: dict[str, None] = field(default_factory=dict)
    size: int = 0
    decided: int = 0

    def take(self, arrival: Arrival) -> bool:
        """False: it doesn't fit any more; or it is an erasure, which waits until nothing of the time before is owed, so
        that what is written with it doesn't hold what it erases."""
        desk = self._desk(arrival.key)
        if arrival.record.offset <= desk.applied.get(arrival.source, -1):
            return True
        if isinstance(arrival.item, EraseContact) and desk.tail:
            return False
        known = self._known(arrival)
        decision = self._decided(arrival, desk.state, known)
        if decision is None:
            return True
        entries = self._entries(arrival, decision)
        size = self._checked_size(arrival, entries)
        if not self._fits(desk, size):
            return False
        self._put(desk, arrival, decision, entries)
        self._remember(arrival, decision, known)
        self.size += size
        desk.size += size
        return True

    def plan(self, taken: int) -> Plan:
        writes = {desk.stored.key: desk.written() for desk in self.desks.values() if desk.changed}
        after = [writes.get(key, desk.stored) for key, desk in self.desks.items()]
        return Plan(
            taken,
            tuple(self.refused),
            tuple(writes.values()),
            tuple(self.remembered.values()),
            waves([entry.record for desk in self.desks.values() for entry in desk.tail]),
            tuple(replace(document, pending=()) for document in after),
            self.decided,
            self.counted,
            tuple(self.erased),
        )

    def _desk(self, key: str) -> _Desk:
        if key not in self.desks:
            document = self.ground.documents[key]
            tail = [entry for entry in document.pending if self.rules.owed(entry, self.ground)]
            size = sum(entry.size for entry in tail)
            self.desks[key] = _Desk(document, document.state, document.applied, tail, size)
            self.size += size
        return self.desks[key]

    def _known(self, arrival: Arrival) -> Known:
        names = memory.names(arrival.key, arrival.item)
        before = {name: one for name in names if (one := self.ground.remembered.get(name))}
        if arrival.key in self.erased:
            before = memory.without_outcomes(before, arrival.key)
        here = {name: one for name in names if (one := self.remembered.get(name))}
        return memory.known(arrival.key, arrival.item, before | here)

    def _decided(self, arrival: Arrival, state: State | None, known: Known) -> Decision | None:
        """A refused command has an outcome all the same (I8); from another refused record nothing follows."""
        try:
            return self.rules.decide(state, arrival.item, self.ground.now, known)
        except Illegal as why:
            self.refused.append(Refusal(arrival.record, why))
            if isinstance(arrival.item, CommandRecord):
                return core.internal_error(state, arrival.item, self.ground.now, known)
            return None

    def _entries(self, arrival: Arrival, decision: Decision) -> list[Entry]:
        records = [record for effect in decision.effects for record in outgoing.of_effect(effect)]
        records += [outgoing.of_event(event) for event in decision.events]
        records = [carrying(record, arrival.record.trace) for record in records]
        source, offset, at = arrival.source, arrival.record.offset, self.ground.now_ms
        return [Entry(source, offset, at, record) for record in records]

    def _fits(self, desk: _Desk, size: int) -> bool:
        """The first of a document and the first of a plan always do, so that every plan gets on."""
        if desk.size and desk.size + size > self.rules.pending_limit:
            return False
        return not self.size or self.size + size <= self.rules.plan_limit

    def _checked_size(self, arrival: Arrival, entries: Sequence[Entry]) -> int:
        sizes = [entry.size for entry in entries]
        if sum(sizes) > self.rules.pending_limit or max(sizes, default=0) > RECORD_LIMIT:
            raise Poison("TOO_LARGE", f"what follows from it has {sum(sizes)} bytes", arrival.record)
        return sum(sizes)

    def _put(self, desk: _Desk, arrival: Arrival, decision: Decision, entries: list[Entry]) -> None:
        """Also where nothing follows the offset is applied: it must not be decided anew in another state."""
        self.decided += 1
        self.counted.update(decision.counted)
        if desk.stored.version == 0 and decision.state is None and not entries and not desk.changed:
            return
        desk.state = decision.state
        desk.applied = advanced(desk.applied, arrival.source, arrival.record.offset)
        desk.tail += entries
        desk.changed = True
        if memory.erases(decision):
            self.erased[arrival.key] = None

    def _remember(self, arrival: Arrival, decision: Decision, known: Known) -> None:
        if new := memory.to_remember(arrival.key, arrival.item, decision, known):
            self.remembered[new.key] = new


def waves(records: Sequence[Outgoing]) -> tuple[Wave, ...]:
    """Each acknowledged before the next: deliveries first where a fence is among them (DESIGN 6, the bot fence); files
    to fetch last, so that whatever comes of one is told after the message that it came with."""
    fenced = any(outgoing.is_fence(record) for record in records)
    ranked = [(_rank(record, fenced), record) for record in records]
    found = (tuple(record for rank, record in ranked if rank == wanted) for wanted in (-1, 0, 1))
    return tuple(wave for wave in found if wave)


def _rank(record: Outgoing, fenced: bool) -> int:
    if fenced and record.topic == CHANNEL_OUTBOUND:
        return -1
    return 1 if outgoing.is_fetch(record) else 0
