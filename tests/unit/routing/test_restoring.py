"""MongoDB is put back to any earlier moment, at any moment: what the topics say comes back, and all goes on."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.routing.core import State
from services.routing.core.state import Book, Delivery, Parked
from services.routing.documents import Document, source_name
from services.routing.memory import Remembered
from services.routing.protocol import PENDING_LIMIT, RULES
from services.routing.replaying import Contradiction, Hole
from services.routing.restoring import Restore, Summary, Surroundings
from shared.contracts import wire
from shared.contracts.outbound import DeliverMessage
from shared.contracts.topics import CHANNEL_OUTBOUND, WORKSPACE_EVENTS
from shared.runtime.records import Outgoing, Record
from shared.runtime.spool import Spool
from tests.unit.routing.build import (
    CHANNEL,
    assign,
    bot_reply,
    contact_of,
    delivery,
    disable,
    edited,
    message,
    note,
    receipt,
    reply,
    seen,
    update,
)
from tests.unit.routing.history import as_read, promised
from tests.unit.routing.simulation import ALL, Item, Scenario, World, begin, finish, to_the_end, world_of
from tests.unit.routing.strategies import inputs
from tests.unit.routing.test_protocol_properties import actions
from tests.unit.routing.twins import MemoryStates


class Filmed(MemoryStates):
    """Every moment of the database."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[MemoryStates] = [MemoryStates()]

    async def save(
        self, writes: Sequence[Document], remembered: Sequence[Remembered], erased: Sequence[str] = ()
    ) -> None:
        await super().save(writes, remembered, erased)
        self.moments.append(copy_of(self))


class Killed(Exception):
    """The restoring process ends here."""


class Mortal(MemoryStates):
    """Dies at its first write but one."""

    def __init__(self, of: MemoryStates) -> None:
        super().__init__()
        self.stored, self.memory, self.writes = of.stored, of.memory, 0

    async def save(
        self, writes: Sequence[Document], remembered: Sequence[Remembered], erased: Sequence[str] = ()
    ) -> None:
        self.writes += 1
        if self.writes > 1:
            raise Killed
        await super().save(writes, remembered, erased)


def copy_of(states: MemoryStates) -> MemoryStates:
    copied = MemoryStates()
    copied.stored, copied.memory = dict(states.stored), dict(states.memory)
    return copied


@dataclass
class Topics:
    """`shared.runtime.topic_log` over what was written in a world."""

    world: World

    async def chunks(self, topic: str) -> AsyncIterator[Sequence[Record]]:
        yield self.world.inputs.get(topic) or [
            Record(topic, 0, offset, record.key.encode(), record.value, dict(record.headers), 0)
            for offset, record in enumerate(one.record for one in self.world.published if one.record.topic == topic)
        ]


def restore(world: World, at_once: int = 200) -> Summary:
    committed = {source(topic, number): offset for (topic, number), offset in world.committed.items()}
    around = Surroundings(source, committed, {CHANNEL: "webhook"}, lambda progress: None)
    found: list[Summary] = []

    async def work() -> None:
        with Spool() as spool:
            found.append(await Restore(world.states, Topics(world), around, spool, at_once).run())

    finish(work())
    return found[0]


def source(topic: str, number: int) -> str:
    return source_name(topic, "life-1", number)


def filmed(items: Sequence[Item]) -> World:
    world = world_of(items)
    world.states = Filmed()
    return world


def moments(world: World) -> list[MemoryStates]:
    assert isinstance(world.states, Filmed)
    return world.states.moments


def go_on(world: World) -> None:
    """New processes, until all inputs are worked off; then everything that was promised."""
    owners = begin(world, Scenario((), (), 100, PENDING_LIMIT), RULES)
    to_the_end(world, owners)
    assert_promises_are_kept(world)


def assert_promises_are_kept(world: World) -> None:
    records = [one.record for one in world.published]
    threads = {key: [wire.decode_event(raw) for raw in events] for key, events in as_read(records).items()}
    events = [event for thread in threads.values() for event in thread]
    received = Counter((e.subject, e.data["message"]["external_id"]) for e in events if "received" in e.type)
    promised(max(received.values(), default=1) == 1, "a message of a customer is there twice")
    once = Counter(event.causationid for event in events if event.final)
    promised(max(once.values(), default=1) == 1, "a command took effect twice")
    said = [wire.decode_event(one.value or b"") for one in records if one.topic == WORKSPACE_EVENTS]
    answered = {event.causationid for event in said if event.final}
    for record in world.inputs["conversation.commands"]:
        promised(wire.decode_command(record.value or b"").id in answered, "a command has no outcome")
    sent = {
        (event.subject, event.seq): event.data["message"]["text"] for event in events if "message.sent" in event.type
    }
    assert_deliveries_are_what_was_sent(records, sent)


def assert_deliveries_are_what_was_sent(records: Sequence[Outgoing], sent: dict[tuple[str, int | None], str]) -> None:
    delivered: dict[tuple[str, int | None], str | None] = {}
    for record in records:
        if record.topic != CHANNEL_OUTBOUND:
            continue
        order = wire.decode_outbound(record.value or b"")
        if isinstance(order, DeliverMessage):
            place = (order.conversation_id, order.seq)
            promised(delivered.setdefault(place, order.text) == order.text, "an id was used for two messages")
    promised(delivered == sent, "what was delivered is not what was sent")


scenarios = st.builds(
    Scenario,
    items=st.lists(inputs, min_size=3, max_size=14).map(lambda items: (message("first"), *items)),
    actions=st.lists(actions, min_size=4, max_size=40).map(tuple),
    cached=st.sampled_from([1, 100]),
    pending_limit=st.just(PENDING_LIMIT),
)
ago = st.integers(0, 30)


def lost(scenario: Scenario, moments_ago: int, events_first: bool) -> World:
    """After the scenario's actions, whoever is in the middle of what: nobody lives, the database is an older one."""
    world = filmed(scenario.items)
    world.events_first = events_first
    for owner in begin(world, scenario, RULES):
        owner.crash()
    film = moments(world)
    world.states = copy_of(film[max(0, len(film) - 1 - moments_ago)])
    return world


@settings(max_examples=200, deadline=None)
@given(scenarios, ago, st.booleans())
def test_whatever_was_lost_comes_back_and_nothing_is_there_twice(
    scenario: Scenario, moments_ago: int, events_first: bool
) -> None:
    world = lost(scenario, moments_ago, events_first)
    restore(world)
    go_on(world)


@settings(max_examples=60, deadline=None)
@given(scenarios, ago, st.booleans())
def test_killed_between_two_writes_and_run_again_is_the_same(
    scenario: Scenario, moments_ago: int, events_first: bool
) -> None:
    world, killed = (lost(scenario, moments_ago, events_first) for _ in range(2))
    restore(world)
    killed.states = Mortal(killed.states)
    with suppress(Killed):
        restore(killed, at_once=1)
    killed.states = copy_of(killed.states)
    restore(killed, at_once=1)
    assert (killed.states.stored, killed.states.memory) == (world.states.stored, world.states.memory)


@settings(max_examples=60, deadline=None)
@given(scenarios, ago, st.booleans())
def test_a_second_run_changes_nothing(scenario: Scenario, moments_ago: int, events_first: bool) -> None:
    world = lost(scenario, moments_ago, events_first)
    restore(world)
    before = copy_of(world.states)
    assert restore(world).conversations == 0
    assert (before.stored, before.memory) == (world.states.stored, world.states.memory)


@settings(max_examples=150, deadline=None)
@given(scenarios, ago)
def test_when_all_was_said_the_documents_are_as_they_were(scenario: Scenario, moments_ago: int) -> None:
    world = filmed(scenario.items)
    to_the_end(world, begin(world, scenario, RULES))
    film = moments(world)
    world.states = copy_of(film[max(0, len(film) - 1 - moments_ago)])
    restore(world)
    assert {key: bare(one) for key, one in world.states.stored.items()} == {
        key: bare(one) for key, one in film[-1].stored.items()
    }
    assert world.states.memory == film[-1].memory


def bare(document: Document) -> tuple[object, State | None]:
    """Without version, entries that were published, and what no event says. Of nobody, and where there was nobody for a
    time, what was applied is vague: a foreign record is known for one while there is a contact."""
    state = document.state
    return state and not state.erased_seq and document.applied, state and replace(state, book=Book())


def told(*items: Item, takes: Sequence[tuple[int, int]] = ()) -> World:
    """All of it decided and published. `takes`: how many inputs and commands each of the first batches has."""
    world = filmed(items)
    batches = tuple(replace(ALL, take=take) for take in takes)
    to_the_end(world, begin(world, Scenario((), batches, 100, PENDING_LIMIT), RULES))
    return world


def forget_all(world: World) -> MemoryStates:
    """-> what was stored."""
    stored, world.states = world.states, MemoryStates()
    return stored


def test_what_no_event_says_is_learned_from_the_inputs_again() -> None:
    world = told(
        message(sender={"first_name": "Ada", "name": "Countess"}),
        update("u", {"email": "ada@example.org"}),
        reply(),
        delivery(6, "sent", attempt=2, provider_message_id="p1"),
        receipt("early", "read", provider_message_id="p2"),
        takes=[(1, 0), (0, 2), (2, 0)],
    )
    stored = forget_all(world)
    restore(world)
    assert {key: one.state for key, one in world.states.stored.items()} == {
        key: one.state for key, one in stored.stored.items()
    }
    [document] = world.states.stored.values()
    assert document.state is not None
    book = document.state.book
    assert book == Book(
        "webhook", "Countess", frozenset({"email"}), (Delivery(6, 2, "p1"),), (Parked("p2", "read", None),)
    )


def test_an_older_name_does_not_come_back() -> None:
    """Seen under the old name, written under the new one: who reads both again must not take the first for news."""
    world = told(seen(sender={"name": "Ada"}), message(sender={"name": "Countess"}))
    forget_all(world)
    restore(world)
    go_on(world)
    [document] = world.states.stored.values()
    assert contact_of(document.state).name == "Countess"


def test_without_its_inputs_a_conversation_is_folded_and_can_be_answered() -> None:
    world = told(message(), assign("a", "grace"), edited("e", "m1"))
    stored = forget_all(world)
    world.inputs = {topic: [] for topic in world.inputs}
    world.committed = dict.fromkeys(world.committed, 0)
    found = restore(world)
    assert found.unmatched == found.events == 5
    [before], [after] = stored.stored.values(), world.states.stored.values()
    assert after.state is not None
    assert after.state == before.state
    assert after.state.book.channel_kind == "webhook", "as the channels' topic says"
    assert world.states.memory == stored.memory


def test_a_log_that_begins_too_late_is_a_hole_and_nothing_is_written() -> None:
    world = told(message(), note())
    forget_all(world)
    world.published = [one for one in world.published if dict(one.record.headers).get("seq") != b"1"]
    with pytest.raises(Hole, match="the backup ends with seq 0, the log goes on with 2"):
        restore(world)
    assert not world.states.stored


def test_two_causes_of_one_seq_are_a_contradiction_and_nothing_is_written() -> None:
    """Routing was started on the old database before it was brought forward."""
    world = told(message(), note())
    forget_all(world)
    other = told(message(), note("another"))
    world.published += other.published
    with pytest.raises(Contradiction, match="seq 4 has two causes"):
        restore(world)
    assert not world.states.stored


def lost_while_publishing(
    *items: Item, until: str, count: int = 1, events_first: bool = True, first: tuple[int, int] = (0, 0)
) -> World:
    """Nothing is stored any more. `first`: the inputs and commands of a batch that was done. All others were decided in
    one batch, commands first; published of it is what came up to the `count`th record of the topic `until`."""
    world = filmed(items)
    world.events_first = events_first
    done = (replace(ALL, take=first),) if any(first) else ()
    owner, _ = begin(world, Scenario((), done, 100, PENDING_LIMIT), RULES)
    while len([one for one in world.published if one.record.topic == until]) < count:
        owner.go(replace(ALL, n=1, turned=any(first)))
    owner.crash()
    world.states = MemoryStates()
    return world


def test_a_message_that_was_handed_out_before_its_event_gets_this_very_event() -> None:
    """Not a second message, and no other one under its id, though the inputs come again in another order."""
    items = (message(), reply("r", text="once"), message("m2"), message("m3"))
    world = lost_while_publishing(*items, until=CHANNEL_OUTBOUND, events_first=False, first=(1, 0))
    [handed_out] = [one.record for one in world.published if one.record.topic == CHANNEL_OUTBOUND]
    restore(world)
    go_on(world)
    sent = [one.record for one in world.published if one.record.topic == CHANNEL_OUTBOUND]
    assert {one.value for one in sent} == {handed_out.value}


def test_an_event_without_its_delivery_gets_it() -> None:
    world = lost_while_publishing(message(), reply(), until=WORKSPACE_EVENTS, count=5)
    assert not [one for one in world.published if one.record.topic == CHANNEL_OUTBOUND]
    restore(world)
    go_on(world)
    assert [one for one in world.published if one.record.topic == CHANNEL_OUTBOUND]


def test_half_of_a_bots_answer_is_completed_not_repeated() -> None:
    world = lost_while_publishing(
        message(bot_kind="webhook"), bot_reply("b", 0, "one", "two", handoff=True), until=WORKSPACE_EVENTS, count=4
    )
    restore(world)
    go_on(world)
    [document] = world.states.stored.values()
    assert document.state is not None
    assert (len(document.state.sent), document.state.seq, document.state.bot_enabled) == (2, 6, False)


def test_what_nothing_explains_is_said() -> None:
    world = lost_while_publishing(message(), reply(), note(), until=CHANNEL_OUTBOUND, events_first=False)
    world.inputs["conversation.commands"] = world.inputs["conversation.commands"][1:]
    assert len(restore(world).unexplained) == 1


def test_a_takeover_since_the_backup_holds() -> None:
    world = told(message(bot_kind="webhook"), disable(), bot_reply("late", 0, "beep"))
    forget_all(world)
    restore(world)
    [document] = world.states.stored.values()
    assert document.state is not None
    assert (document.state.bot_enabled, document.state.bot_epoch, document.state.sent) == (False, 1, ())
