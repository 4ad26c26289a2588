"""The read model's rules: what an event makes of a conversation, of the counters and of the command that caused it.

Pure: the rules for one event and one conversation; `fold` applies them to a batch. Must not know Kafka, MongoDB, HTTP
or the clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from shared.contracts import events as ev
from shared.contracts.events import CloudEvent
from shared.contracts.ids import document_key
from shared.contracts.resources import Contact, ConversationStatus, Message
from shared.contracts.shape import Shape

CounterName = Literal["open", "unassigned", "unread", "needs_human"]
CounterOf = tuple[str, str | None]
"""(workspace, member), or (workspace, None) for what is counted over the whole workspace."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event as read: `data` as its model (None for an unknown type), `raw` as it stands on the stream."""

    event: CloudEvent
    data: Shape | None
    raw: Mapping[str, Any]

    @property
    def key(self) -> str:
        return document_key(self.event.workspace, self.event.subject)


@dataclass(frozen=True, slots=True)
class ConversationState:
    """A conversation as maintained. `status` is None until it is opened: a contact alone has been seen, or was erased
    (then `contact` is None, too). `erased_seq`: of the last erasure; nothing before it is kept.

    `received` = messages of the contact so far; `settled` = how many of them are answered or read, so that `unread`
    needs no scan. `updated_at` is the last activity: reports about a message's delivery don't count as one.
    """

    workspace: str
    id: str
    seq: int = 0
    channel_id: str | None = None
    contact: Contact | None = None
    status: ConversationStatus | None = None
    assignee: str | None = None
    assigned_seq: int = 0
    bot_enabled: bool = False
    bot_epoch: int = 0
    needs_human: bool = False
    received: int = 0
    settled: int = 0
    read_up_to: int = 0
    last_message: Message | None = None
    updated_at: str = ""
    erased_seq: int = 0

    @property
    def key(self) -> str:
        return document_key(self.workspace, self.id)

    @property
    def unread(self) -> int:
        return self.received - self.settled


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended. `type`, `seq` and `data` are its last event's; `seq` is None where nothing had to change."""

    command_id: str
    workspace: str
    status: Literal["accepted", "rejected"]
    type: str
    seq: int | None
    data: Mapping[str, Any]


def evolved(state: ConversationState, arrival: Arrival) -> ConversationState:
    """The conversation after its next sequenced event."""
    event, data = arrival.event, arrival.data
    state = replace(state, seq=state.seq + 1)
    if not isinstance(data, ev.MessageStatusChanged):
        state = replace(state, updated_at=max(state.updated_at, event.time))
    match data:
        case ev.ContactErased():
            return ConversationState(state.workspace, state.id, state.seq, assigned_seq=state.seq, erased_seq=state.seq)
        case ev.ContactCreated() | ev.ContactUpdated():
            return replace(state, contact=data.contact, channel_id=state.channel_id or data.contact.channel_id)
        case ev.MessageWasReceived() | ev.MessageSent():
            return _with_message(state, data.message)
        case ev.MessageWasEdited() | ev.MessageWasDeleted() | ev.MessageStatusChanged():
            return _with_changed_message(state, data)
        case ev.BotDisabled() | ev.BotEnabled() | ev.BotFailure():
            return _with_bot(state, data)
    return _with_place(state, data)


def _with_place(state: ConversationState, data: Shape | None) -> ConversationState:
    match data:
        case ev.ConversationOpened(channel_id=channel, bot=bot):
            opened = replace(state, status="open", channel_id=channel)
            return replace(opened, bot_enabled=bot.enabled, bot_epoch=bot.epoch)
        case ev.ConversationReopened():
            return replace(state, status="open")
        case ev.ConversationClosed():
            return replace(state, status="closed", needs_human=False)
        case ev.ConversationAssigned(assignee=assignee):
            waits = state.needs_human and assignee is None
            return replace(state, assignee=assignee, assigned_seq=state.seq, needs_human=waits)
    return state  # notes, dropped bot replies and types of a newer version


def _with_message(state: ConversationState, message: Message) -> ConversationState:
    state = replace(state, last_message=message)
    match message.author.kind:
        case "contact":
            return replace(state, received=state.received + 1)
        case "agent":
            return replace(state, settled=state.received, needs_human=False)
        case "bot":
            return state


def _with_changed_message(
    state: ConversationState, data: ev.MessageWasEdited | ev.MessageWasDeleted | ev.MessageStatusChanged
) -> ConversationState:
    last = state.last_message
    if last is None or last.id != data.message_id:
        return state
    match data:
        case ev.MessageWasEdited(text=text):
            change: dict[str, Any] = {"text": text}
        case ev.MessageWasDeleted():
            change = {"text": None, "attachments": ()}
        case ev.MessageStatusChanged(status=status):
            change = {"status": status}
    return replace(state, last_message=last.model_copy(update=change))


def _with_bot(state: ConversationState, data: ev.BotDisabled | ev.BotEnabled | ev.BotFailure) -> ConversationState:
    match data:
        case ev.BotDisabled(epoch=epoch, reason=reason):
            return replace(state, bot_enabled=False, bot_epoch=epoch, needs_human=reason == "handoff")
        case ev.BotEnabled(epoch=epoch):
            return replace(state, bot_enabled=True, bot_epoch=epoch)
        case ev.BotFailure():
            return replace(state, needs_human=True)


def outcome_of(arrival: Arrival) -> Outcome | None:
    """The outcome that an event is for the command that caused it; None where it is not a command's last word."""
    event = arrival.event
    match arrival.data:
        case ev.CommandRepeated(first=first):
            return _first_outcome(event, first)
        case ev.CommandAccepted() | ev.CommandRejected():
            return _outcome(event, event.type, None, event.data)
    return _outcome(event, event.type, event.seq, event.data) if event.final else None


def _first_outcome(event: CloudEvent, first: ev.First | None) -> Outcome | None:
    return _outcome(event, first.type, first.seq, first.data) if first else None


def _outcome(event: CloudEvent, kind: str, seq: int | None, data: Mapping[str, Any]) -> Outcome:
    status: Literal["accepted", "rejected"] = "rejected" if kind == ev.TYPE_OF[ev.CommandRejected] else "accepted"
    return Outcome(event.causationid, event.workspace, status, kind, seq, data)


def contributions(state: ConversationState | None) -> list[tuple[CounterOf, CounterName]]:
    """What a conversation adds to the counters: an open one counts, a closed one doesn't."""
    if state is None or state.status != "open":
        return []
    everybody: CounterOf = (state.workspace, None)
    counted: list[tuple[CounterOf, CounterName]] = [(everybody, "open")]
    counted.append((everybody, "unassigned") if state.assignee is None else ((state.workspace, state.assignee), "open"))
    if state.unread > 0:
        counted.append((everybody, "unread"))
    if state.needs_human:
        counted.append((everybody, "needs_human"))
    return counted
