"""The table of DESIGN 6: what agents and bots ask for."""

import pytest

from services.routing.core import Decision, Illegal, Known, State, decide, internal_error
from services.routing.core.state import ANSWERS_LIMIT
from shared.contracts.commands import Actor, Command
from shared.contracts.events import (
    CommandRejected,
    CommandRepeated,
    ConversationAssigned,
    First,
    MessageSent,
    NoteAdded,
)
from shared.contracts.outbound import BotFence, DeliverMessage, MediaReferenced
from tests.unit.routing import build
from tests.unit.routing.build import (
    ALAN,
    BOT,
    LATER,
    NOW,
    SYSTEM,
    after,
    assign,
    bot_failed,
    bot_reply,
    close,
    contact_of,
    delivery,
    disable,
    effects,
    enable,
    kinds,
    message,
    note,
    rejection,
    reopen,
    reply,
    tell,
    update,
)

OPEN = after(message())
WITH_BOT = after(message(bot_kind="webhook"))


def deliveries(decision: Decision) -> list[DeliverMessage]:
    return [one for one in decision.effects if isinstance(one, DeliverMessage)]


def test_the_first_reply_claims_then_sends() -> None:
    decision = tell(OPEN, reply())
    assert kinds(decision) == ["conversation.assigned", "message.sent"]
    assigned, sent = decision.events[0].data, decision.events[1].data
    assert isinstance(assigned, ConversationAssigned)
    assert isinstance(sent, MessageSent)
    assert (assigned.assignee, assigned.previous, assigned.reason, assigned.by) == (
        "grace",
        None,
        "first_reply",
        "agent:grace",
    )
    assert (sent.message.status, sent.message.author.kind, sent.message.text) == ("queued", "agent", "reply r1")
    (record,) = deliveries(decision)
    assert (record.message_id, record.seq, record.to, record.bot_epoch) == (sent.message.id, 5, "ada", None)
    assert record.channel_kind == "webhook"


def test_only_the_last_event_of_a_command_is_final() -> None:
    assert [event.final for event in tell(OPEN, reply()).events] == [False, True]
    assert [event.final for event in tell(None, message()).events] == [False, False, False]


def test_answering_a_colleagues_conversation_does_not_reassign() -> None:
    decision = tell(after(reply(), state=OPEN), reply("r2", ALAN))
    assert kinds(decision) == ["message.sent"]
    assert decision.state is not None
    assert decision.state.assignee == "grace"


def test_a_reply_reopens_a_closed_conversation() -> None:
    decision = tell(after(reply(), close(), state=OPEN), reply("r2"))
    assert kinds(decision) == ["conversation.reopened", "message.sent"]


def test_a_reply_is_refused_while_the_bot_answers() -> None:
    decision = tell(WITH_BOT, reply())
    assert rejection(decision) == "BOT_ACTIVE"
    assert (decision.state, decision.effects) == (WITH_BOT, ())
    event = decision.events[0]
    assert (event.seq, event.audience, event.final) == (None, "agent:grace", True)


def test_disabling_the_bot_and_replying_is_one_decision_with_the_fence() -> None:
    decision = tell(WITH_BOT, reply(disable_bot=True))
    assert kinds(decision) == ["bot.disabled", "conversation.assigned", "message.sent"]
    assert effects(decision) == ["BotFence", "DeliverMessage"]
    fence = decision.effects[0]
    assert isinstance(fence, BotFence)
    assert fence.bot_epoch == 1
    assert [event.final for event in decision.events] == [False, False, True]
    assert kinds(tell(OPEN, reply(disable_bot=True))) == ["conversation.assigned", "message.sent"]


def test_a_stale_view_refuses_all_of_it_and_names_the_missed_messages() -> None:
    state = after(reply("r1", ALAN), reply("r2", ALAN), reply("r3"), note("n1", ALAN), state=OPEN)
    stale = tell(state, reply("r4", last_seen_seq=3))
    assert isinstance(data := stale.events[0].data, CommandRejected)
    assert (data.code, data.missed) == ("STALE_VIEW", (5, 6))
    assert stale.state == state
    assert kinds(tell(state, reply("r4", last_seen_seq=6))) == ["message.sent"]
    assert kinds(tell(state, reply("r4", last_seen_seq=3, force=True))) == ["message.sent"]
    assert kinds(tell(state, reply("r4"))) == ["message.sent"]


def test_a_stale_view_leaves_the_bot_enabled() -> None:
    state = after(disable(), reply("r1", ALAN), enable(), state=WITH_BOT)
    decision = tell(state, reply("r2", last_seen_seq=3, disable_bot=True))
    assert rejection(decision) == "STALE_VIEW"
    assert decision.state == state


def test_my_own_and_the_customers_messages_make_no_view_stale() -> None:
    state = after(reply("r1"), message("m2"), state=OPEN)
    assert kinds(tell(state, reply("r2", last_seen_seq=3))) == ["message.sent"]


def test_staleness_is_exact_however_many_answers_were_forgotten() -> None:
    state = after(reply("r0", ALAN), state=OPEN)
    for n in range(ANSWERS_LIMIT + 20):
        state = after(reply(f"g{n}"), state=state)
    assert len(state.answers) == ANSWERS_LIMIT + 2
    assert rejection(tell(state, reply("x", last_seen_seq=4))) == "STALE_VIEW"
    assert kinds(tell(state, reply("y", last_seen_seq=5))) == ["message.sent"]
    assert rejection(tell(state, reply("z", ALAN, last_seen_seq=5))) == "STALE_VIEW"


@pytest.mark.parametrize("command", [reply(expires_at=NOW), close(expires_at=NOW)])
def test_a_command_past_its_time_is_rejected(command: Command) -> None:
    assert rejection(decide(OPEN, command, LATER)) == "EXPIRED"
    assert decide(OPEN, command, NOW).state != OPEN


@pytest.mark.parametrize("command", [reply(text=None), reply(text=""), note(text="")])
def test_saying_nothing_is_refused(command: Command) -> None:
    assert rejection(tell(OPEN, command)) == "INVALID"


def test_attachments_go_to_the_channel_and_are_referenced_and_their_places_are_not_shown() -> None:
    decision = tell(OPEN, reply(text=None, attachments=(build.file("a"), build.file("b"))))
    sent = decision.events[-1].data
    assert isinstance(sent, MessageSent)
    assert [one.filename for one in sent.message.attachments] == ["a", "b"]
    assert "objects" not in sent.message.attachments[0].model_dump()
    assert [one.objects for one in deliveries(decision)[0].attachments] == [
        {"original": "acme/a"},
        {"original": "acme/b"},
    ]
    references = [one for one in decision.effects if isinstance(one, MediaReferenced)]
    assert [one.media_id for one in references] == [build.file("a").media_id, build.file("b").media_id]


def test_a_refused_reply_references_nothing() -> None:
    assert effects(tell(WITH_BOT, reply(attachments=(build.file("a"),)))) == []


def test_notes_are_events_and_never_deliveries() -> None:
    decision = tell(OPEN, note())
    data = decision.events[0].data
    assert isinstance(data, NoteAdded)
    assert (data.message.status, data.message.author.kind) == (None, "agent")
    assert (decision.effects, decision.events[0].final) == ((), True)
    assert decision.state is not None
    assert decision.state.assignee is None


def test_assigning_conflicts_with_a_later_assignment_only() -> None:
    state = after(assign("a1", "alan"), state=OPEN)
    assert state.assigned_seq == 4
    assert rejection(tell(state, assign("a2", "grace", expected=3))) == "CONFLICT"
    decision = tell(state, assign("a2", "grace", expected=4))
    assert kinds(decision) == ["conversation.assigned"]
    data = decision.events[0].data
    assert isinstance(data, ConversationAssigned)
    assert (data.assignee, data.previous, data.reason) == ("grace", "alan", "manual")
    assert kinds(tell(state, assign("a3", None))) == ["conversation.assigned"]
    assert kinds(tell(state, assign("a3", None, actor=SYSTEM))) == ["conversation.assigned"]


@pytest.mark.parametrize(
    ("state", "command"),
    [
        (OPEN, assign("a", None)),
        (OPEN, disable()),
        (OPEN, reopen()),
        (OPEN, update("u", {})),
        (OPEN, update("u", {"email": None})),
        (after(close(), state=OPEN), close("c2")),
        (WITH_BOT, enable()),
        (WITH_BOT, bot_reply("b", 0)),
    ],
)
def test_what_is_so_already_is_accepted_and_nothing_changes(state: State, command: Command) -> None:
    decision = tell(state, command)
    assert kinds(decision) == ["command.accepted"]
    assert rejection(decision) == "ALREADY_SO"
    assert decision.state is not None
    assert decision.state.seq == state.seq


def test_enabling_and_disabling_raise_the_epoch_and_only_disabling_needs_a_fence() -> None:
    off = tell(WITH_BOT, disable())
    assert (kinds(off), effects(off)) == (["bot.disabled"], ["BotFence"])
    on = tell(off.state, enable())
    assert (kinds(on), effects(on)) == (["bot.enabled"], [])
    assert on.state is not None
    assert (on.state.bot_enabled, on.state.bot_epoch) == (True, 2)


def test_a_channel_without_a_bot_has_none_to_enable() -> None:
    assert rejection(tell(OPEN, enable(bot_kind=None))) == "NO_BOT"
    assert rejection(tell(WITH_BOT, enable(bot_kind=None))) == "NO_BOT"


def test_an_agent_can_enable_a_bot_that_the_channel_got_later() -> None:
    assert kinds(tell(OPEN, enable())) == ["bot.enabled"]


def test_a_bots_replies_are_sent_in_order_with_their_epoch_and_claim_nothing() -> None:
    decision = tell(WITH_BOT, bot_reply("b1", 0, "one", "two"))
    assert kinds(decision) == ["message.sent", "message.sent"]
    assert [(one.text, one.bot_epoch, one.author.kind) for one in deliveries(decision)] == [
        ("one", 0, "bot"),
        ("two", 0, "bot"),
    ]
    assert decision.state is not None
    assert decision.state.assignee is None


def test_a_bots_answer_after_the_takeover_or_of_an_older_epoch_is_dropped() -> None:
    off = after(disable(), state=WITH_BOT)
    for state, why in ((off, "BOT_DISABLED"), (after(enable(), state=off), "STALE_EPOCH")):
        for late in (bot_reply("b1", 0, "late"), bot_failed("b2", 0)):
            decision = tell(state, late)
            assert (kinds(decision), effects(decision)) == (["bot.reply_dropped"], [])
            assert getattr(decision.events[0].data, "reason", None) == why
            assert decision.state is not None
            assert not decision.state.needs_human


def test_a_handoff_speaks_last_words_that_its_own_fence_lets_through() -> None:
    decision = tell(WITH_BOT, bot_reply("b1", 0, "An agent takes over.", handoff=True))
    assert kinds(decision) == ["message.sent", "bot.disabled"]
    assert effects(decision) == ["DeliverMessage", "BotFence"]
    fence = decision.effects[1]
    assert isinstance(fence, BotFence)
    assert deliveries(decision)[0].bot_epoch == fence.bot_epoch == 1
    assert decision.state is not None
    assert (decision.state.bot_enabled, decision.state.needs_human) == (False, True)
    assert decision.events[-1].final


HANDED_OVER = after(bot_reply("b1", 0, "An agent takes over.", handoff=True), state=WITH_BOT)
CARED_FOR = after(assign("a1", "grace"), state=HANDED_OVER)


def fences(decision: Decision) -> list[int]:
    return [one.bot_epoch for one in decision.effects if isinstance(one, BotFence)]


@pytest.mark.parametrize(
    ("state", "command", "said"),
    [
        (HANDED_OVER, disable(), ["bot.disabled"]),
        (CARED_FOR, disable(), ["command.accepted"]),
        (HANDED_OVER, reply(disable_bot=True), ["conversation.assigned", "message.sent"]),
        (CARED_FOR, reply(disable_bot=True), ["message.sent"]),
    ],
)
def test_a_disable_after_a_handoff_silences_the_last_words_that_are_under_way(
    state: State, command: Command, said: list[str]
) -> None:
    decision = tell(state, command)
    assert (kinds(decision), fences(decision)) == (said, [2])
    on = after(enable(), state=decision.state)
    again = tell(on, bot_reply("b2", on.bot_epoch, "Hello again"))
    assert [one.bot_epoch for one in deliveries(again)] == ([3] if said == ["bot.disabled"] else [2])


def test_where_nothing_is_under_way_a_disable_needs_no_further_fence() -> None:
    heard = after(delivery(HANDED_OVER.sent[-1].seq, "sent"), state=CARED_FOR)
    for command in (disable(), reply(disable_bot=True)):
        assert not fences(tell(heard, command))
    assert not fences(tell(OPEN, disable()))
    assert not fences(tell(CARED_FOR, reply())), "nobody asked for silence"


def test_care_that_would_be_so_already_still_clears_needs_human() -> None:
    asked = after(assign("a1", "grace"), bot_failed("b1", 0), state=WITH_BOT)
    closed = after(assign("a1", "grace"), close(), bot_failed("b1", 0), state=WITH_BOT)
    for state, command, event in (
        (asked, assign("a2", "grace"), "conversation.assigned"),
        (closed, close("c2"), "conversation.closed"),
        (HANDED_OVER, disable(), "bot.disabled"),
    ):
        decision = tell(state, command)
        assert state.needs_human
        assert kinds(decision) == [event]
        assert decision.state is not None
        assert not decision.state.needs_human
    assert kinds(tell(HANDED_OVER, assign("a", None))) == ["command.accepted"]


def test_a_failed_bot_stays_enabled_and_a_human_is_needed() -> None:
    decision = tell(WITH_BOT, bot_failed("b1", 0))
    assert kinds(decision) == ["bot.failed"]
    assert decision.state is not None
    assert (decision.state.bot_enabled, decision.state.needs_human) == (True, True)


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (reply(disable_bot=True), False),
        (assign("a", "alan"), False),
        (disable(), False),
        (close(), False),
        (note(), True),
        (update("u", {"name": "x"}), True),
    ],
)
def test_an_agents_care_clears_needs_human(command: Command, needed: bool) -> None:
    state = after(bot_failed("b1", 0), state=WITH_BOT)
    assert after(command, state=state).needs_human is needed


def test_unassigning_does_not_clear_needs_human() -> None:
    state = after(assign("a1", "alan"), bot_failed("b1", 0), assign("a2", None), state=WITH_BOT)
    assert state.needs_human


def test_updating_the_contact_publishes_its_new_version() -> None:
    decision = tell(OPEN, update("u", {"name": "Ada Lovelace", "email": "ada@example.org"}))
    assert (kinds(decision), effects(decision)) == (["contact.updated"], ["ContactRecord"])
    assert (contact_of(decision.state).name, contact_of(decision.state).version) == ("Ada Lovelace", 2)


def test_a_contact_without_a_conversation_can_be_updated_and_nothing_else() -> None:
    state = after(build.seen())
    assert kinds(tell(state, update("u", {"name": "Ada"}))) == ["contact.updated"]
    assert rejection(tell(state, reply())) == "NOT_FOUND"


def test_a_field_that_an_agent_confirmed_is_the_agents() -> None:
    state = after(update("u", {"name": "Ada"}), state=after(message(sender={"name": "Ada"})))
    assert kinds(tell(state, message("m2", sender={"name": "ada99"}))) == ["message.received"]


@pytest.mark.parametrize(
    "command", [reply(), close(), assign("a", "alan"), disable(), bot_reply("b", 0, "x"), update("u", {"name": "x"})]
)
def test_a_command_to_no_conversation_is_not_found(command: Command) -> None:
    decision = tell(None, command)
    assert rejection(decision) == "NOT_FOUND"
    assert decision.state is None
    assert decision.events[0].audience == command.actor.tag


def test_a_repeated_command_gets_its_first_outcome_and_changes_nothing() -> None:
    first = First(type="relaydesk.message.sent.v1", seq=5, data={})
    state = after(reply(), state=OPEN)
    decision = tell(state, reply(), Known(handled=True, first=first))
    assert kinds(decision) == ["command.repeated"]
    data = decision.events[0].data
    assert isinstance(data, CommandRepeated)
    assert (data.first, decision.state, decision.effects) == (first, state, ())
    assert kinds(tell(None, reply(), Known(handled=True, first=first))) == ["command.repeated"]


@pytest.mark.parametrize("actor", [BOT, SYSTEM])
def test_only_agents_write(actor: Actor) -> None:
    for command in (reply(actor=actor), note(actor=actor)):
        with pytest.raises(Illegal):
            tell(OPEN, command)


def test_a_dead_lettered_command_is_rejected_and_one_that_was_decided_keeps_its_outcome() -> None:
    decision = internal_error(OPEN, reply(), NOW)
    assert rejection(decision) == "INTERNAL"
    assert decision.state == OPEN
    first = First(type="relaydesk.message.sent.v1", seq=5, data={})
    assert kinds(internal_error(OPEN, reply(), NOW, Known(handled=True, first=first))) == ["command.repeated"]
