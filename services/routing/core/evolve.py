"""State + event -> state. The only place that reads events: folding a conversation's events gives its state."""

from dataclasses import replace
from typing import Any, assert_never

from services.routing.core.event import Event
from services.routing.core.state import SENT_LIMIT, Answer, Book, Sent, State, with_answer
from shared.contracts.events import (
    BotDisabled,
    BotEnabled,
    BotFailure,
    BotReplyDropped,
    CommandAccepted,
    CommandRejected,
    CommandRepeated,
    ContactCreated,
    ContactErased,
    ContactUpdated,
    ConversationAssigned,
    ConversationClosed,
    ConversationOpened,
    ConversationRead,
    ConversationReopened,
    EventData,
    FileAdded,
    FileRemoved,
    MediaReady,
    MediaRejected,
    MemberUpdated,
    MessageSent,
    MessageStatusChanged,
    MessageWasDeleted,
    MessageWasEdited,
    MessageWasReceived,
    NoteAdded,
    PresenceChanged,
    SnippetRemoved,
    SnippetSaved,
    Typing,
)
from shared.contracts.ids import split_message_id
from shared.contracts.resources import Message


def evolve(state: State | None, event: Event) -> State:
    """ValueError where the event cannot follow: a hole, another conversation, a first event that creates no contact."""
    if state is None:
        return _born(event)
    if event.seq != state.seq + 1 or event.conversation_id != state.id:
        raise ValueError(f"event {event.seq} of {event.conversation_id} cannot follow {state.seq} of {state.id}")
    return replace(state, seq=event.seq, **_changes(state, event.seq, event.data))


def _born(event: Event) -> State:
    if event.seq != 1 or not isinstance(event.data, ContactCreated):
        raise ValueError("the first event of a conversation creates its contact")
    return State(event.workspace, event.conversation_id, 1, event.data.contact)


def _changes(state: State, seq: int, data: EventData) -> dict[str, Any]:  # noqa: C901 - a table
    match data:
        case MessageWasReceived() | NoteAdded() | MessageWasEdited() | MessageWasDeleted() | BotReplyDropped():
            return {}
        case MessageSent(message=message):
            return _sent(state, message)
        case MessageStatusChanged():
            return {"sent": _with_status(state.sent, data)}
        case ContactCreated(contact=contact) if state.contact is None:
            return {"contact": contact}
        case ContactUpdated(contact=contact):
            return {"contact": contact}
        case ContactErased():
            return _erased(state, seq)
        case ConversationOpened(bot=bot):
            return {"status": "open", "bot_enabled": bot.enabled, "bot_epoch": bot.epoch}
        case ConversationReopened():
            return {"status": "open"}
        case ConversationClosed():
            return {"status": "closed", "needs_human": False}
        case ConversationAssigned(assignee=assignee):
            needs_human = state.needs_human and assignee is None
            return {"assignee": assignee, "assigned_seq": seq, "needs_human": needs_human}
        case BotDisabled(epoch=epoch, reason=reason):
            return {"bot_enabled": False, "bot_epoch": epoch, "needs_human": reason == "handoff"}
        case BotEnabled(epoch=epoch):
            return {"bot_enabled": True, "bot_epoch": epoch}
        case BotFailure():
            return {"needs_human": True}
        case ContactCreated() | CommandAccepted() | CommandRejected() | CommandRepeated():
            raise ValueError(f"{type(data).__name__} changes no conversation")
        case ConversationRead() | MemberUpdated() | MediaReady() | MediaRejected() | Typing() | PresenceChanged():
            raise ValueError(f"{type(data).__name__} is not an event of routing")
        case SnippetSaved() | SnippetRemoved() | FileAdded() | FileRemoved():
            raise ValueError(f"{type(data).__name__} is not an event of routing")
        case _:
            assert_never(data)


def _erased(state: State, seq: int) -> dict[str, Any]:
    """Only what keeps the time before recognizable: the seq, and an epoch that no bot of then knows."""
    nobody = {"contact": None, "status": None, "assignee": None, "assigned_seq": seq, "answers": (), "sent": ()}
    bot = {"bot_enabled": False, "bot_epoch": state.bot_epoch + 1, "needs_human": False}
    return nobody | bot | {"erased_seq": seq, "book": Book()}


def _sent(state: State, message: Message) -> dict[str, Any]:
    sent = (*state.sent, Sent(message.seq, message.status or "queued"))[-SENT_LIMIT:]
    if message.author.kind != "agent":
        return {"sent": sent}
    answers = with_answer(state.answers, Answer(message.seq, message.author.id or ""))
    return {"sent": sent, "answers": answers, "needs_human": False}


def _with_status(sent: tuple[Sent, ...], data: MessageStatusChanged) -> tuple[Sent, ...]:
    _, seq = split_message_id(data.message_id)
    return tuple(Sent(seq, data.status) if one.seq == seq else one for one in sent)
