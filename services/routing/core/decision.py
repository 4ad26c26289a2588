"""The vocabulary of decisions, and a draft that the rules write one into. Knows no rule of its own."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from services.routing.core.event import Event
from services.routing.core.evolve import evolve
from services.routing.core.state import State
from shared.contracts.commands import CommandRecord
from shared.contracts.events import CommandAccepted, CommandRejected, CommandRepeated, EventData, First
from shared.contracts.inbound import InboundRecord
from shared.contracts.outbound import (
    BotFence,
    BotRequest,
    ContactRecord,
    DeliverMessage,
    EraseConversation,
    FetchMedia,
    MediaReferenced,
)
from shared.contracts.resources import Contact


@dataclass(frozen=True, slots=True)
class ContactTombstone:
    """The end of a contact's row in the compacted topic `contacts`."""

    workspace: str
    contact_id: str


Effect = (
    DeliverMessage
    | BotFence
    | BotRequest
    | FetchMedia
    | MediaReferenced
    | ContactRecord
    | EraseConversation
    | ContactTombstone
)

Counted = Literal[
    "message_known",
    "edit_unknown",
    "receipt_unknown",
    "receipt_forgotten",
    "status_forgotten",
    "id_forgotten",
    "bot_reply_stale",
]
"""What is let go of on purpose; each is counted."""


class Illegal(ValueError):
    """This input cannot be meant for this state. `reason` is a stable code; nothing has changed."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered about the ids that an input names.

    `message_seq`: of the message with its external id. `handled`: this very record was decided before (commands,
    edits); `first` is then the command's outcome.
    """

    message_seq: int | None = None
    handled: bool = False
    first: First | None = None


NOTHING_KNOWN = Known()


@dataclass(frozen=True, slots=True)
class Decision:
    """`state` after the decision; `events` have gone into it. `effects` are asked of others, in this order."""

    state: State | None
    events: tuple[Event, ...] = ()
    effects: tuple[Effect, ...] = ()
    counted: tuple[Counted, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """What a decision answers to; `actor` is whose doing its events are."""

    workspace: str
    conversation_id: str
    causationid: str
    actor: str
    now: str


def cause_of(item: InboundRecord | CommandRecord, actor: str, now: str) -> Cause:
    return Cause(item.workspace, item.conversation_id, item.id, actor, now)


class Draft:
    """A decision in the making: every event is folded at once, so that the next rule sees the state it leaves."""

    def __init__(self, state: State | None, cause: Cause) -> None:
        self._state = state
        self.cause = cause
        self._events: list[Event] = []
        self._effects: list[Effect] = []
        self._counted: list[Counted] = []

    @property
    def state(self) -> State:
        assert self._state is not None, "a rule asked for the state before the contact was created"
        return self._state

    @property
    def contact(self) -> Contact:
        contact = self.state.contact
        assert contact is not None, "a rule asked for a contact that was not created, or was erased"
        return contact

    @property
    def exists(self) -> bool:
        """Whether there is a contact: it was created, and not erased since."""
        return self._state is not None and self._state.contact is not None

    @property
    def next_seq(self) -> int:
        return self._state.seq + 1 if self._state else 1

    def event(self, data: EventData, actor: str | None = None) -> None:
        cause = self.cause
        event = Event(
            data,
            cause.workspace,
            cause.conversation_id,
            cause.causationid,
            actor or cause.actor,
            cause.now,
            self.next_seq,
        )
        self._state = evolve(self._state, event)
        self._events.append(event)

    def effect(self, effect: Effect) -> None:
        self._effects.append(effect)

    def book(self, **changes: Any) -> None:
        self._state = replace(self.state, book=replace(self.state.book, **changes))

    def count(self, what: Counted) -> None:
        self._counted.append(what)

    def accepted(self, detail: str) -> None:
        self._outcome(CommandAccepted(command_id=self.cause.causationid, code="ALREADY_SO", detail=detail))

    def rejected(self, code: str, detail: str, missed: tuple[int, ...] | None = None) -> None:
        data = CommandRejected(command_id=self.cause.causationid, code=code, detail=detail, missed=missed)
        self._outcome(data)

    def repeated(self, first: First | None) -> None:
        detail = "This command was decided before."
        data = CommandRepeated(command_id=self.cause.causationid, code="REPEATED", detail=detail, first=first)
        self._outcome(data)

    def _outcome(self, data: CommandAccepted | CommandRejected | CommandRepeated) -> None:
        cause = self.cause
        who = cause.actor
        self._events.append(
            Event(data, cause.workspace, cause.conversation_id, cause.causationid, who, cause.now, None, audience=who)
        )

    def decision(self) -> Decision:
        return Decision(self._state, tuple(self._events), tuple(self._effects), tuple(self._counted))

    def outcome(self) -> Decision:
        """The decision about a command: its last event says that it is done."""
        self._events[-1] = replace(self._events[-1], final=True)
        return self.decision()
