"""The table of DESIGN 6: what a customer does."""

import pytest

from services.routing.core import Illegal, Known
from shared.contracts.events import ContactUpdated, ConversationOpened, MessageWasReceived
from shared.contracts.inbound import Inbound
from shared.contracts.outbound import BotRequest, FetchMedia
from tests.unit.routing import build
from tests.unit.routing.build import after, close, contact_of, effects, kinds, message, reply, tell


def test_a_first_message_makes_contact_and_conversation_unassigned_and_open() -> None:
    decision = tell(None, message(sender={"first_name": "Ada", "last_name": "Lovelace"}))
    assert kinds(decision) == ["contact.created", "conversation.opened", "message.received"]
    assert [event.seq for event in decision.events] == [1, 2, 3]
    assert decision.state is not None
    assert (decision.state.status, decision.state.assignee, decision.state.bot_enabled) == ("open", None, False)
    assert contact_of(decision.state).name == "Ada Lovelace"
    assert effects(decision) == ["ContactRecord"]


def test_the_message_keeps_what_the_customer_wrote_and_both_clocks() -> None:
    item = message(text="Hello 👋", occurred_at="2026-11-23T09:00:00.000Z", reply_to="m0")
    data = tell(None, item).events[-1].data
    assert isinstance(data, MessageWasReceived)
    shown = data.message
    assert (shown.text, shown.external_id, shown.reply_to, shown.status) == ("Hello 👋", "m1", "m0", None)
    assert (shown.occurred_at, shown.accepted_at) == (item.occurred_at, item.accepted_at)
    assert (shown.id, shown.seq) == (f"{build.CONVERSATION}-3", 3)
    assert (shown.author.kind, shown.author.id) == ("contact", build.contact_id())


def test_a_channel_with_a_bot_opens_with_the_bot_enabled_and_asks_it() -> None:
    decision = tell(None, message(bot_kind="webhook"))
    opened = decision.events[1].data
    assert isinstance(opened, ConversationOpened)
    assert (opened.bot.configured, opened.bot.enabled, opened.bot.epoch) == (True, True, 0)
    request = decision.effects[-1]
    assert isinstance(request, BotRequest)
    assert (request.epoch, request.message.seq, request.bot_kind) == (0, 3, "webhook")


def test_a_known_external_id_gives_nothing_but_a_count() -> None:
    state = after(message())
    decision = tell(state, message(sender={"name": "Other"}), Known(message_seq=3))
    assert (decision.events, decision.effects, decision.state) == ((), (), state)
    assert decision.counted == ("message_known",)


def test_a_message_reopens_a_closed_conversation_and_the_owner_stays() -> None:
    state = after(message(), reply(), close())
    decision = tell(state, message("m2"))
    assert kinds(decision) == ["conversation.reopened", "message.received"]
    assert decision.state is not None
    assert (decision.state.status, decision.state.assignee) == ("open", "grace")


def test_changed_fields_of_the_sender_update_the_contact_and_null_says_nothing() -> None:
    state = after(message(sender={"first_name": "Ada", "email": "ada@example.org"}))
    decision = tell(state, message("m2", sender={"first_name": "Augusta"}))
    assert kinds(decision) == ["contact.updated", "message.received"]
    assert effects(decision) == ["ContactRecord"]
    updated = decision.events[0].data
    assert isinstance(updated, ContactUpdated)
    contact = updated.contact
    assert (contact.first_name, contact.name, contact.email) == ("Augusta", "Augusta", "ada@example.org")
    assert contact.version == 2


def test_the_same_fields_again_change_nothing() -> None:
    sender = {"first_name": "Ada", "name": "Ada Lovelace"}
    state = after(message(sender=sender))
    assert kinds(tell(state, message("m2", sender=sender))) == ["message.received"]


def test_fields_set_by_an_agent_win_over_the_channel() -> None:
    state = after(message(sender={"name": "ada99"}), build.update("u1", {"name": "Ada Lovelace", "email": None}))
    decision = tell(state, message("m2", sender={"name": "ada100", "email": "x@example.org", "country": "GB"}))
    contact = contact_of(decision.state)
    assert (contact.name, contact.email, contact.country) == ("Ada Lovelace", None, "GB")


def test_a_given_name_is_shown_and_without_one_first_and_last_are() -> None:
    state = after(message(sender={"first_name": "Ada", "last_name": "Lovelace", "name": "Countess"}))
    assert contact_of(state).name == "Countess"
    assert contact_of(after(build.update("u1", {"name": None}), state=state)).name == "Ada Lovelace"


def test_a_contact_that_was_only_seen_has_no_conversation_until_it_writes() -> None:
    decision = tell(None, build.seen(sender={"name": "Ada"}))
    assert kinds(decision) == ["contact.created"]
    assert decision.state is not None
    assert decision.state.status is None
    assert kinds(tell(decision.state, message())) == ["conversation.opened", "message.received"]


def test_seeing_a_contact_again_updates_only_what_changed() -> None:
    state = after(message(sender={"name": "Ada"}))
    assert kinds(tell(state, build.seen(sender={"name": "Ada"}))) == []
    assert kinds(tell(state, build.seen(sender={"name": "Ada L"}))) == ["contact.updated"]


def test_incoming_files_are_pending_and_fetched() -> None:
    decision = tell(None, message(attachments=(build.incoming_file("a"), build.incoming_file("b"))))
    data = decision.events[-1].data
    assert isinstance(data, MessageWasReceived)
    assert [one.status for one in data.message.attachments] == ["pending", "pending"]
    fetches = [one for one in decision.effects if isinstance(one, FetchMedia)]
    assert [one.attachment.media_id for one in fetches] == [one.media_id for one in data.message.attachments]
    assert {one.message_id for one in fetches} == {data.message.id}


@pytest.mark.parametrize("item", [build.edited("x1", "m1"), build.deleted("x1", "m1")])
def test_edits_and_deletions_name_the_message_that_is_remembered(item: Inbound) -> None:
    state = after(message())
    decision = tell(state, item, Known(message_seq=3))
    assert kinds(decision) in (["message.edited"], ["message.deleted"])
    assert getattr(decision.events[0].data, "message_id", None) == f"{build.CONVERSATION}-3"
    assert tell(state, item).counted == ("edit_unknown",)
    assert tell(None, item).state is None
    assert tell(state, item, Known(message_seq=3, handled=True)).events == ()


def test_a_channel_that_lost_its_bot_disables_it_with_a_fence_at_the_next_inbound() -> None:
    state = after(message(bot_kind="webhook"))
    decision = tell(state, message("m2", bot_kind=None))
    assert kinds(decision) == ["bot.disabled", "message.received"]
    assert effects(decision) == ["BotFence"]
    assert getattr(decision.events[0].data, "reason", None) == "bot_removed"
    assert decision.events[0].actor == "system"
    assert kinds(tell(decision.state, message("m3", bot_kind="webhook"))) == ["message.received"]


def test_no_bot_is_asked_while_it_is_disabled() -> None:
    state = after(message(bot_kind="webhook"), build.disable())
    assert effects(tell(state, message("m2", bot_kind="webhook"))) == []


@pytest.mark.parametrize(
    "item",
    [
        message(channel_id="another"),
        message(contact_id=build.contact_id("eve")),
        message(workspace="other"),
        build.seen(channel_id="another"),
        build.edited("x", "m1", channel_id="another"),
        build.receipt("x", "read", 3, channel_id="another"),
        build.delivery(3, "sent", channel_id="another"),
        build.receipt("x", "read", 3, message_id=f"{build.conversation_id('eve')}-3"),
    ],
)
def test_what_names_another_channels_conversation_is_refused(item: Inbound) -> None:
    with pytest.raises(Illegal) as refused:
        tell(after(message()), item)
    assert refused.value.reason == "FOREIGN"


def test_receipts_of_conversations_that_do_not_exist_are_refused() -> None:
    for item in (build.receipt("x", "read", 3), build.delivery(3, "sent")):
        with pytest.raises(Illegal):
            tell(None, item)
