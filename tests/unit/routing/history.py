"""What readers make of what was published (DESIGN 3.9), and what an undisturbed run would have said."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from services.routing import core, memory, outgoing
from services.routing.core import Decision, Illegal, Known, State, decide
from services.routing.memory import Remembered
from shared.contracts import wire
from shared.contracts.commands import CommandRecord
from shared.contracts.events import TYPE_OF, BotDisabled, ContactErased
from shared.contracts.ids import document_key
from shared.contracts.outbound import BotFence, DeliverMessage, EraseConversation
from shared.contracts.topics import CHANNEL_OUTBOUND, WORKSPACE_EVENTS
from shared.runtime.records import Outgoing
from tests.unit.routing.build import NOW
from tests.unit.routing.simulation import Item, Place, World

Events = dict[str, list[bytes]]


class Violation(AssertionError):
    """A promise is broken."""


def promised(condition: bool, what: str) -> None:
    if not condition:
        raise Violation(what)


def check(world: World) -> None:
    """Everything that the protocol promises. Raises Violation."""
    everything_was_decided_once(world)
    expected, effects = undisturbed(world.applied)
    records = [one.record for one in world.published]
    promised(as_read(records) == expected, "the history differs from the undisturbed run's")
    promised(outcomes(records) == outcomes(effects), "outcomes without a seq differ from the undisturbed run's")
    lanes_are_in_order(records)
    others_are_complete(records, effects)
    fences_come_first(records)
    what_is_erased_is_nowhere_kept(world)
    promised(not any(one.stale for one in world.published), "something old was published again")


def everything_was_decided_once(world: World) -> None:
    places = [place for place, _, _ in world.applied]
    promised(len(places) == len(set(places)), "an offset was applied twice")
    for topic, records in world.inputs.items():
        for record in records:
            assert record.value is not None
            place: Place = (topic, record.offset)
            needed = topic != "channel.inbound" or b'"type":"MessageReceived"' in record.value
            promised(not needed or place in places or place in world.letters, f"{place} was lost")
            promised(topic == "channel.inbound" or place in places, f"the command at {place} has no outcome")


def undisturbed(applied: Iterable[tuple[Place, Item, bool]]) -> tuple[Events, list[Outgoing]]:
    """The same inputs in the same order, each decided once and published at once."""
    states: dict[str, State | None] = {}
    remembered: dict[str, Remembered] = {}
    records: list[Outgoing] = []
    for _, item, dead in applied:
        key = document_key(item.workspace, item.conversation_id)
        known = memory.known(key, item, remembered)
        decision = _decision(states.get(key), item, known, dead)
        if decision is None:
            continue
        states[key] = decision.state
        if memory.erases(decision):
            remembered = memory.without_outcomes(remembered, key)
        if new := memory.to_remember(key, item, decision, known):
            remembered[new.key] = new
        records += [record for effect in decision.effects for record in outgoing.of_effect(effect)]
        records += [outgoing.of_event(event) for event in decision.events]
    return as_read(records), records


def _decision(state: State | None, item: Item, known: Known, dead: bool) -> Decision | None:
    if not dead:
        with suppress(Illegal):
            return decide(state, item, NOW, known)
    return core.internal_error(state, item, NOW, known) if isinstance(item, CommandRecord) else None


def as_read(records: Iterable[Outgoing]) -> Events:
    """Per conversation; drops what has a seq at or below the last. A hole or another content is a Violation."""
    read: Events = {}
    for record in records:
        headers = dict(record.headers)
        if record.topic != WORKSPACE_EVENTS or "seq" not in headers:
            continue
        assert record.value is not None
        seen, seq = read.setdefault(headers["subject"].decode(), []), int(headers["seq"])
        promised(seq <= len(seen) + 1, f"a hole: seq {seq} follows {len(seen)}")
        if seq == len(seen) + 1:
            seen.append(record.value)
        promised(seen[seq - 1] == record.value, f"seq {seq} has two contents")
    return read


def outcomes(records: Iterable[Outgoing]) -> set[bytes | None]:
    return {one.value for one in records if one.topic == WORKSPACE_EVENTS and "seq" not in dict(one.headers)}


def lanes_are_in_order(records: Sequence[Outgoing]) -> None:
    """A message's first appearance in its lane is in seq order, so a reader that knows ids sees them in order."""
    last: dict[str, int] = {}
    known: set[bytes] = set()
    for record in records:
        if record.topic != CHANNEL_OUTBOUND or record.value is None or record.value in known:
            continue
        known.add(record.value)
        message = wire.decode_outbound(record.value)
        if isinstance(message, DeliverMessage):
            promised(last.get(record.key, 0) < message.seq, "deliveries out of order")
            last[record.key] = message.seq


def others_are_complete(records: Iterable[Outgoing], expected: Iterable[Outgoing]) -> None:
    def set_of(found: Iterable[Outgoing]) -> set[tuple[str, str, bytes | None]]:
        return {(one.topic, one.key, one.value) for one in found if one.topic != WORKSPACE_EVENTS}

    promised(set_of(records) == set_of(expected), "records for others are missing or made up")


def fences_come_first(records: Iterable[Outgoing]) -> None:
    """`bot.disabled` and `contact.erased` are told when dispatch can know of them."""
    raised: dict[str, int] = {}
    erased: dict[str, int] = {}
    for record in records:
        if outgoing.is_fence(record):
            assert record.value is not None
            match wire.decode_outbound(record.value):
                case BotFence(conversation_id=ident, bot_epoch=epoch):
                    raised[ident] = max(raised.get(ident, 0), epoch)
                case EraseConversation(conversation_id=ident, up_to_seq=seq):
                    erased[ident] = max(erased.get(ident, 0), seq)
        if record.topic == WORKSPACE_EVENTS and record.value is not None:
            event = wire.decode_event(record.value)
            if event.type == TYPE_OF[BotDisabled]:
                promised(raised.get(event.subject, 0) >= event.data["epoch"], "bot.disabled before its fence")
            if event.type == TYPE_OF[ContactErased]:
                promised(erased.get(event.subject, 0) >= (event.seq or 0), "contact.erased before its fence")


def what_is_erased_is_nowhere_kept(world: World) -> None:
    for document in world.states.stored.values():
        erased = document.state.erased_seq if document.state else 0
        seqs = [int(seq) for entry in document.pending if (seq := dict(entry.record.headers).get("seq"))]
        promised(all(seq >= erased for seq in seqs), "an erased event is still in its document")
