"""A conversation brought forward from an older document to what the log says became of it. Pure.

The log of events is the truth: which inputs were decided, in which order, and what came of each. An input that is still
there is decided once more, at the time that its events have. Where the same events come out, the decision is taken
whole: the state with its book, and the records that are perhaps not published. Where others come out (the rules have
changed) or the input is gone, the events alone are folded, and what no event says stays as it was.

All that followed from an input below the committed offset is published: such an input without a trace gave nothing.
One above it is left to routing, unless somebody was asked for something that only its decision explains (see `orders`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, cast

from services.routing import core, memory, outgoing
from services.routing.core import Decision, Event, Illegal, State, evolve
from services.routing.documents import Arrival, Document, Entry, advanced
from services.routing.memory import Remembered
from services.routing.orders import Order, Unexplained, behind, explained
from shared.contracts.events import TYPE_OF, CloudEvent, ContactErased, EventData, data_of
from shared.contracts.inbound import DeliveryReported, ReceiptReceived
from shared.contracts.times import from_timestamp
from shared.contracts.wire import decode_event
from shared.runtime.records import Outgoing


class Hole(Exception):
    """The log begins after what the document ends with."""


class Contradiction(Exception):
    """Two different events claim the same seq, or an event cannot follow."""


@dataclass(frozen=True, slots=True)
class Told:
    """All that is known of one conversation: its stored document and memories, and what the topics have behind it.

    `inputs`: not applied yet, each topic's in the order of offsets. `events`: behind the stored seq, and outcomes of
    commands, as the log has them, repeats included. `committed`: source -> the group's offset.
    """

    document: Document
    remembered: Mapping[str, Remembered]
    inputs: Sequence[Arrival] = ()
    events: Sequence[CloudEvent] = ()
    orders: Sequence[Order] = ()
    committed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replayed:
    """`document` is None where nothing changes. `left`: what routing has yet to decide.

    `erased`: what was remembered before of outcomes is to be forgotten. To be told: `events` folded, those of them
    `unmatched` because no input explains them, `unexplained` why not.
    """

    document: Document | None
    remembered: tuple[Remembered, ...]
    left: tuple[Arrival, ...]
    erased: bool = False
    events: int = 0
    unmatched: int = 0
    unexplained: str | None = None


def replayed(told: Told) -> Replayed:
    """Raises Hole or Contradiction: then nothing of it is to be written."""
    replay = _Replay(told)
    groups = list(decisions(fresh(told)))
    for number, group in enumerate(groups, start=1):
        replay.follow(group, last=number == len(groups))
    replay.pass_over_the_committed()
    replay.explain(told.orders)
    return replay.outcome()


def fresh(told: Told) -> Iterator[CloudEvent]:
    """Each event once: redeliveries repeat them. Raises Hole, Contradiction."""
    state = told.document.state
    seq = stored = state.seq if state else 0
    causes: dict[int, str] = {}
    outcomes: set[tuple[str, str]] = set()
    for event in told.events:
        if event.seq is None:
            if (event.id, event.time) not in outcomes:
                outcomes.add((event.id, event.time))
                yield event
        elif event.seq > stored:
            if causes.setdefault(event.seq, event.causationid) != event.causationid:
                raise Contradiction(f"conversation {event.subject}: seq {event.seq} has two causes in the log")
            if event.seq > seq + 1:
                raise Hole(
                    f"conversation {event.subject} of {event.workspace}: the backup ends with seq {seq}, "
                    f"the log goes on with {event.seq}"
                )
            if event.seq == seq + 1:
                seq += 1
                yield event


def decisions(events: Iterator[CloudEvent]) -> Iterator[list[CloudEvent]]:
    """The events of each decision. A command's last one is `final`; after it the same id is a repeat of the command."""
    number = 0

    def decision_of(event: CloudEvent) -> tuple[str, int]:
        nonlocal number
        named = (event.causationid, number)
        number += bool(event.final)
        return named

    for _, group in groupby(events, decision_of):
        yield list(group)


class _Replay:
    def __init__(self, told: Told) -> None:
        self._stored = told.document
        self._committed = told.committed
        self._state: State | None = told.document.state
        self._applied: Mapping[str, int] = told.document.applied
        self._known = dict(told.remembered)
        self._pending = [entry for entry in told.document.pending if entry.offset >= self._floor(entry.source)]
        self._waiting: dict[str, list[Arrival]] = {}
        for arrival in told.inputs:
            self._waiting.setdefault(arrival.source, []).append(arrival)
        self._new: dict[str, Remembered] = {}
        self._erased = False
        self._changed = False
        self._unmatched = 0
        self._unexplained: str | None = None

    def follow(self, group: Sequence[CloudEvent], last: bool) -> None:
        """`last`: of this one, not all events may have been published."""
        arrival = self._found(group[0].causationid)
        decision = None if arrival is None else self._decided(arrival, group[0].time)
        said = [] if decision is None else [_parsed(outgoing.of_event(event)) for event in decision.events]
        may_be_cut = last and arrival is not None and arrival.record.offset >= self._floor(arrival.source)
        same = said[: len(group)] == group and (len(said) == len(group) or may_be_cut)
        if arrival is None or decision is None or not same:
            self._fold(group)
            return
        self._remember(said)
        self._take(arrival, decision, group[0].time, published=len(group))

    def pass_over_the_committed(self) -> None:
        for source, waiting in self._waiting.items():
            while waiting and waiting[0].record.offset < self._floor(source):
                self._pass_over(waiting.pop(0))

    def explain(self, orders: Sequence[Order]) -> None:
        if not behind(orders, self._state):
            return
        commands_first = [self._waiting[source] for source in sorted(self._waiting, reverse=True)]
        try:
            steps = explained(self._state, self._known, commands_first, orders)
        except Unexplained as why:
            self._unexplained = str(why)
            return
        for step in steps:
            self._waiting[step.arrival.source].remove(step.arrival)
            self._note_applied(step.arrival)
            self._remember([_parsed(outgoing.of_event(event)) for event in step.decision.events])
            self._take(step.arrival, step.decision, step.now, published=0)

    def outcome(self) -> Replayed:
        left = tuple(arrival for waiting in self._waiting.values() for arrival in waiting)
        new = tuple(self._new.values())
        if not self._changed:
            return Replayed(None, (), left, unexplained=self._unexplained)
        version, pending = self._stored.version + 1, tuple(self._pending)
        document = Document(self._stored.key, version, self._applied, pending, self._state)
        before = self._stored.state.seq if self._stored.state else 0
        events = self._state.seq - before if self._state else 0
        return Replayed(document, new, left, self._erased, events, self._unmatched, self._unexplained)

    def _floor(self, source: str) -> int:
        return self._committed.get(source, 0)

    def _found(self, cause: str) -> Arrival | None:
        """The input with this id; those before it gave nothing, or it would be in the log before."""
        for waiting in self._waiting.values():
            place = next((n for n, one in enumerate(waiting) if one.item.id == cause), None)
            if place is not None:
                for _ in range(place):
                    self._pass_over(waiting.pop(0))
                arrival = waiting.pop(0)
                self._note_applied(arrival)
                return arrival
        return None

    def _pass_over(self, arrival: Arrival) -> None:
        """It said nothing; what it taught is learned. Where it would say something now, it came in another order; what
        reports and receipts teach of ids holds in any.

        What was refused, or came before there was anybody, isn't noted: as when it was decided first.
        """
        decision = self._decided(arrival, arrival.item.accepted_at)
        if decision is None or decision.state is None:
            return
        self._note_applied(arrival)
        if not decision.events and not decision.effects:
            self._state = decision.state
        elif self._state is not None and isinstance(arrival.item, ReceiptReceived | DeliveryReported):
            self._state = replace(self._state, book=decision.state.book)

    def _decided(self, arrival: Arrival, now: str) -> Decision | None:
        known = memory.known(arrival.key, arrival.item, self._known)
        try:
            return core.decide(self._state, cast(Any, arrival.item), now, known)
        except Illegal:
            return None

    def _take(self, arrival: Arrival, decision: Decision, now: str, published: int) -> None:
        """`published`: so many of its events are in the log."""
        self._state = decision.state
        if arrival.record.offset >= self._floor(arrival.source):
            effects = [record for effect in decision.effects for record in outgoing.of_effect(effect)]
            events = [outgoing.of_event(event) for event in decision.events[published:]]
            self._pending += _entries(arrival, now, [*effects, *events])

    def _fold(self, group: Sequence[CloudEvent]) -> None:
        for event in group:
            if event.seq is not None:
                self._unmatched += 1
                self._changed = True
                try:
                    self._state = evolve(self._state, _event(event))
                except ValueError as error:
                    raise Contradiction(f"conversation {event.subject}, seq {event.seq}: {error}") from error
        self._remember(group)

    def _remember(self, events: Sequence[CloudEvent]) -> None:
        for event in events:
            if event.type == TYPE_OF[ContactErased]:
                self._erase()
            for one in memory.told_by(self._stored.key, event):
                if one.key not in self._known:
                    self._changed = True
                    self._known[one.key] = self._new[one.key] = one

    def _erase(self) -> None:
        """When it was decided, nothing of before was owed to anybody any more (README, invariant 7)."""
        self._erased, self._pending = True, []
        self._known = memory.without_outcomes(self._known, self._stored.key)
        self._new = memory.without_outcomes(self._new, self._stored.key)

    def _note_applied(self, arrival: Arrival) -> None:
        self._applied = advanced(self._applied, arrival.source, arrival.record.offset)
        self._changed = True


def with_channel_kind(document: Document, kinds: Mapping[str, str]) -> Document:
    """A conversation whose inputs are gone doesn't know its channel's kind, and could not be answered."""
    state = document.state
    if state is None or state.contact is None or state.book.channel_kind:
        return document
    kind = kinds.get(state.contact.channel_id, "")
    return replace(document, state=replace(state, book=replace(state.book, channel_kind=kind)))


def _entries(arrival: Arrival, now: str, records: Sequence[Outgoing]) -> list[Entry]:
    at_ms = int(from_timestamp(now).timestamp() * 1000)
    return [Entry(arrival.source, arrival.record.offset, at_ms, record) for record in records]


def _parsed(record: Outgoing) -> CloudEvent:
    return decode_event(record.value or b"")


def _event(event: CloudEvent) -> Event:
    """Contradiction for a type that this version doesn't know: a newer one wrote it, and must restore it."""
    data = data_of(event)
    if data is None:
        raise Contradiction(f"an event of the unknown type {event.type}: restore with the version that ran")
    return Event(
        cast(EventData, data),
        event.workspace,
        event.subject,
        event.causationid,
        event.actor,
        event.time,
        event.seq,
        bool(event.final),
        event.audience,
    )
