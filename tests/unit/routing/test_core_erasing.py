"""Erasure: the content goes, the order stays, and whatever is still under way is recognized as of before."""

from hypothesis import given

from services.routing.core import Known, State
from shared.contracts.commands import Command
from shared.contracts.events import ConversationOpened
from shared.contracts.inbound import Inbound
from shared.contracts.outbound import EraseConversation
from shared.contracts.resources import BotState
from tests.unit.routing import build
from tests.unit.routing.build import (
    CONVERSATION,
    after,
    bot_reply,
    contact_of,
    delivery,
    edited,
    effects,
    erase,
    kinds,
    message,
    receipt,
    rejection,
    reply,
    tell,
    update,
)
from tests.unit.routing.strategies import histories
from tests.unit.routing.test_core_properties import EXAMPLES, lived

SPOKEN = after(message(sender={"name": "Ada"}), reply(), delivery(5, "sent", provider_message_id="p1"))
ERASED = after(erase(), state=SPOKEN)


def test_an_erasure_is_one_event_and_tells_all_who_keep_something() -> None:
    decision = tell(SPOKEN, erase())
    assert kinds(decision) == ["contact.erased"]
    assert effects(decision) == ["EraseConversation", "ContactTombstone"]
    assert decision.effects[0] == EraseConversation(workspace="acme", conversation_id=CONVERSATION, up_to_seq=7)


def test_nothing_of_the_time_before_is_left_in_the_state_but_its_place_in_the_order() -> None:
    assert State("acme", CONVERSATION, 7, None, assigned_seq=7, bot_epoch=1, erased_seq=7) == ERASED


def test_a_contact_that_never_wrote_can_be_erased() -> None:
    assert kinds(tell(after(build.seen()), erase())) == ["contact.erased"]


def test_what_is_erased_or_never_was_cannot_be_acted_on() -> None:
    for state in (ERASED, None):
        for item in (erase("x2"), reply("r2"), update("u1", {"name": "Ada"}), build.note(), build.close()):
            assert rejection(tell(state, item)) == "NOT_FOUND"


def test_an_erasure_for_idleness_is_refused_where_something_has_happened_since() -> None:
    assert rejection(tell(SPOKEN, erase(expected=5))) == "CONFLICT"
    assert kinds(tell(SPOKEN, erase(expected=6))) == ["contact.erased"]


def test_who_writes_again_is_a_new_contact_whose_seqs_and_versions_go_on() -> None:
    decision = tell(ERASED, message("m2"))
    assert kinds(decision) == ["contact.created", "conversation.opened", "message.received"]
    assert [event.seq for event in decision.events] == [8, 9, 10]
    contact = contact_of(decision.state)
    assert (contact.name, contact.version) == (None, 8)
    assert contact.id == contact_of(SPOKEN).id


def test_a_bots_answer_to_an_erased_message_never_comes_through() -> None:
    asked = after(message(bot_kind="webhook"))
    erased = after(erase(), state=asked)
    assert rejection(tell(erased, bot_reply("b1", 0, "hi"))) == "NOT_FOUND"
    again = tell(erased, message("m2", bot_kind="webhook"))
    opened = next(event.data for event in again.events if isinstance(event.data, ConversationOpened))
    assert opened.bot == BotState(configured=True, enabled=True, epoch=1)
    assert kinds(tell(again.state, bot_reply("b1", 0, "hi"))) == ["bot.reply_dropped"]


def test_reports_about_erased_messages_are_counted_and_change_nothing() -> None:
    written_again = after(message("m2"), state=ERASED)
    for state in (ERASED, written_again):
        for item in (
            delivery(5, "failed", 2),
            receipt("q", "read", 5),
            receipt("q2", "read", provider_message_id="p1"),
        ):
            assert not tell(state, item).events
    for item in (delivery(5, "failed", 2), receipt("q", "read", 5)):
        assert tell(ERASED, item).counted == ("receipt_unknown",)


def test_an_edit_does_not_bring_an_erased_message_back() -> None:
    written_again = after(message("m2"), state=ERASED)
    for state in (ERASED, written_again):
        decision = tell(state, edited("e1", "m1"), Known(message_seq=3))
        assert (decision.events, decision.counted) == ((), ("edit_unknown",))
    assert kinds(tell(written_again, edited("e2", "m2"), Known(message_seq=10))) == ["message.edited"]


def test_an_erased_message_that_is_delivered_again_stays_erased() -> None:
    decision = tell(ERASED, message(), Known(message_seq=3))
    assert (decision.events, decision.counted) == ((), ("message_known",))


@EXAMPLES
@given(histories)
def test_after_an_erasure_no_word_of_before_is_in_the_state_or_the_memory(history: list[Inbound | Command]) -> None:
    world = lived([message(text="my secret", sender={"name": "Secret Ada"}), *history])
    for customer in ("ada", "bob"):
        world.take(erase("last", customer=customer))
    assert "secret" not in repr(world.states).lower()
    assert "secret" not in repr(world.remembered).lower()
