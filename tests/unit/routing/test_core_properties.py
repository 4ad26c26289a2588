"""What holds for every state and every input: sequences from small domains reach the states, one more input asks."""

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.routing import memory, outgoing
from services.routing.core import Decision, Event, Illegal, Known, State, decide, evolve
from services.routing.core.state import Book
from services.routing.memory import Remembered
from shared.contracts import wire
from shared.contracts.commands import Command, CommandRecord, DisableBot, SendReply
from shared.contracts.events import (
    BotDisabled,
    CommandRejected,
    CommandRepeated,
    MessageSent,
    MessageStatusChanged,
    data_of,
)
from shared.contracts.ids import document_key
from shared.contracts.inbound import Inbound
from shared.contracts.outbound import BotFence, BotRequest, ContactRecord, DeliverMessage
from shared.contracts.statuses import raised
from tests.unit.routing.build import NOW, message
from tests.unit.routing.strategies import histories, inputs, silences, with_a_bot

EXAMPLES = settings(max_examples=150, deadline=None)


class World:
    """States and memory of a few conversations, without any protocol."""

    def __init__(self) -> None:
        self.states: dict[str, State | None] = {}
        self.remembered: dict[str, Remembered] = {}
        self.events: dict[str, list[Event]] = {}
        self.effects: dict[str, list[object]] = {}

    def known(self, item: Inbound | Command) -> Known:
        return memory.known(_key(item), item, self.remembered)

    def state(self, item: Inbound | Command) -> State | None:
        return self.states.get(_key(item))

    def take(self, item: Inbound | Command) -> Decision | None:
        """None where the input is illegal: then nothing has changed."""
        key, known = _key(item), self.known(item)
        try:
            decision = decide(self.state(item), item, NOW, known)
        except Illegal:
            return None
        self.states[key] = decision.state
        self.events.setdefault(key, []).extend(event for event in decision.events if event.seq is not None)
        self.effects.setdefault(key, []).extend(decision.effects)
        if memory.erases(decision):
            self.remembered = memory.without_outcomes(self.remembered, key)
        if new := memory.to_remember(key, item, decision, known):
            assert new.key not in self.remembered
            self.remembered[new.key] = new
        return decision


def _key(item: Inbound | Command) -> str:
    return document_key(item.workspace, item.conversation_id)


def lived(items: Iterable[Inbound | Command]) -> World:
    world = World()
    for item in items:
        world.take(item)
    return world


@EXAMPLES
@given(histories, inputs)
def test_seqs_go_up_by_one(history: list[Inbound | Command], item: Inbound | Command) -> None:
    world = lived(history)
    before = world.state(item)
    decision = world.take(item)
    if decision is None:
        return
    seqs = [event.seq for event in decision.events if event.seq is not None]
    start = before.seq if before else 0
    assert seqs == list(range(start + 1, start + 1 + len(seqs)))
    assert (decision.state.seq if decision.state else 0) == start + len(seqs)


@EXAMPLES
@given(histories, inputs)
def test_a_command_has_exactly_one_outcome_and_an_inbound_has_none(
    history: list[Inbound | Command], item: Inbound | Command
) -> None:
    decision = lived(history).take(item)
    if decision is None:
        return
    finals = [event.final for event in decision.events]
    unsequenced = [event for event in decision.events if event.seq is None]
    if isinstance(item, CommandRecord):
        assert finals == [False] * (len(finals) - 1) + [True]
        assert len(unsequenced) == 0 or len(decision.events) == 1
        assert all(event.audience == item.actor.tag for event in unsequenced)
    else:
        assert not any(finals) and not unsequenced
    assert all(event.causationid == item.id for event in decision.events)


@EXAMPLES
@given(histories)
def test_folding_the_events_as_readers_get_them_gives_the_state(history: list[Inbound | Command]) -> None:
    world = lived(history)
    for key, state in world.states.items():
        folded: State | None = None
        for event in world.events[key]:
            folded = evolve(folded, _as_read(event))
        expected = None if state is None else replace(state, book=Book())
        assert folded == expected


def _as_read(event: Event) -> Event:
    """Through the wire and back: nothing that the fold needs is left behind."""
    value = outgoing.of_event(event).value
    assert value is not None
    envelope = wire.decode_event(value)
    data = data_of(envelope)
    assert data is not None
    assert envelope.seq is not None
    read: Event = replace(event, data=data, seq=envelope.seq, conversation_id=envelope.subject)  # type: ignore[arg-type]
    return read


@EXAMPLES
@given(histories, inputs)
def test_illegal_input_and_refusals_leave_the_conversation_as_it_was(
    history: list[Inbound | Command], item: Inbound | Command
) -> None:
    world = lived(history)
    before, documents = world.state(item), dict(world.states)
    decision = world.take(item)
    if decision is None:
        assert world.states == documents
    elif not any(event.seq is not None for event in decision.events):
        after = decision.state
        assert (after and replace(after, book=Book())) == (before and replace(before, book=Book()))


@EXAMPLES
@given(histories)
def test_statuses_only_rise_along_the_lattice(history: list[Inbound | Command]) -> None:
    world = lived(history)
    for events in world.events.values():
        current: dict[str, str] = {}
        for event in events:
            match event.data:
                case MessageSent(message=message):
                    current[message.id] = "queued"
                case MessageStatusChanged(message_id=ident, status=status):
                    assert raised(current[ident], status) == status  # type: ignore[arg-type]
                    current[ident] = status
                case _:
                    pass


@EXAMPLES
@given(histories, inputs)
def test_the_bot_is_fenced_when_it_is_disabled_and_asked_only_while_enabled(
    history: list[Inbound | Command], item: Inbound | Command
) -> None:
    decision = lived(history).take(item)
    if decision is None or decision.state is None:
        return
    fences = [one.bot_epoch for one in decision.effects if isinstance(one, BotFence)]
    disabled = [event.data.epoch for event in decision.events if isinstance(event.data, BotDisabled)]
    assert fences == disabled or (asks_for_silence(item) and fences == [decision.state.bot_epoch + 1])
    for one in decision.effects:
        if isinstance(one, BotRequest):
            assert decision.state.bot_enabled
            assert one.epoch == decision.state.bot_epoch
        if isinstance(one, DeliverMessage) and one.bot_epoch is not None:
            assert one.bot_epoch == decision.state.bot_epoch


def asks_for_silence(item: Inbound | Command) -> bool:
    return isinstance(item, DisableBot) or (isinstance(item, SendReply) and item.disable_bot)


@EXAMPLES
@given(st.lists(with_a_bot, max_size=12), silences)
def test_what_a_bot_said_and_is_still_under_way_is_behind_a_fence_once_a_disable_is_acknowledged(
    history: list[Inbound | Command], item: Command
) -> None:
    world = lived([message(bot_kind="webhook"), *history])
    decision = world.take(item)
    if decision is None or decision.state is None:
        return
    if any(isinstance(event.data, CommandRejected | CommandRepeated) for event in decision.events):
        return
    effects = world.effects[_key(item)]
    fence = max((one.bot_epoch for one in effects if isinstance(one, BotFence)), default=0)
    queued = {one.seq for one in decision.state.sent if one.status == "queued"}
    said = [one for one in effects if isinstance(one, DeliverMessage) and one.seq in queued]
    assert all(one.bot_epoch < fence for one in said if one.bot_epoch is not None)


@EXAMPLES
@given(histories, inputs)
def test_every_message_sent_is_delivered_once_and_every_contact_change_published(
    history: list[Inbound | Command], item: Inbound | Command
) -> None:
    decision = lived(history).take(item)
    if decision is None:
        return
    sent = [event.data.message.id for event in decision.events if isinstance(event.data, MessageSent)]
    assert [one.message_id for one in decision.effects if isinstance(one, DeliverMessage)] == sent
    changed = [event for event in decision.events if type(event.data).__name__ in ("ContactCreated", "ContactUpdated")]
    records = [one.contact for one in decision.effects if isinstance(one, ContactRecord)]
    assert records == [getattr(event.data, "contact", None) for event in changed]


@EXAMPLES
@given(histories, inputs)
def test_the_same_input_again_changes_nothing_more(history: list[Inbound | Command], item: Inbound | Command) -> None:
    """Commands, messages and edits by their remembered ids, receipts and sightings by nature."""
    world = lived(history)
    if world.take(item) is None:
        return
    before = world.state(item)
    again = world.take(item)
    assert again is not None
    assert not any(event.seq is not None for event in again.events)
    assert world.state(item) == before
