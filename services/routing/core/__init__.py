"""The rules of a conversation (DESIGN 6): `decide(state, input, now) -> Decision`. Pure.

Imports the standard library and `shared.contracts` only: no clock, no ids made up, no waiting, no logging. The same
arguments give the same answer, and an input that cannot be meant raises `Illegal` and changes nothing.
"""

from typing import assert_never

from services.routing.core import agent, bot, customer, erasing, receipts
from services.routing.core.decision import (
    NOTHING_KNOWN,
    Cause,
    ContactTombstone,
    Counted,
    Decision,
    Draft,
    Effect,
    Illegal,
    Known,
    cause_of,
)
from services.routing.core.event import Event
from services.routing.core.evolve import evolve
from services.routing.core.state import State
from shared.contracts.commands import (
    AddNote,
    Assign,
    BotFailed,
    BotReply,
    Close,
    Command,
    CommandRecord,
    DisableBot,
    EnableBot,
    EraseContact,
    Reopen,
    SendReply,
    UpdateContact,
)
from shared.contracts.inbound import (
    ContactSeen,
    DeliveryReported,
    Inbound,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    ReceiptReceived,
)

__all__ = [
    "NOTHING_KNOWN",
    "Cause",
    "ContactTombstone",
    "Counted",
    "Decision",
    "Effect",
    "Event",
    "Illegal",
    "Known",
    "State",
    "decide",
    "evolve",
    "internal_error",
]


def decide(state: State | None, item: Inbound | Command, now: str, known: Known = NOTHING_KNOWN) -> Decision:
    """What follows from `item`. `state` is None before the contact's first sign of life; `known` says what is
    remembered about the ids that `item` names; `now` (shared.contracts.times) becomes the events' time.

    A command gives exactly one outcome: its last event, which alone is `final`. Raises Illegal.
    """
    if state is not None and (state.workspace, state.id) != (item.workspace, item.conversation_id):
        raise Illegal("FOREIGN", "the state is another conversation's")
    match item:
        case MessageReceived():
            return customer.message(state, item, now, known)
        case MessageEdited() | MessageDeleted():
            return customer.edit(state, item, now, known)
        case ContactSeen():
            return customer.seen(state, item, now)
        case ReceiptReceived():
            return receipts.receipt(state, item, now)
        case DeliveryReported():
            return receipts.delivery(state, item, now)
        case _:
            return _decide_command(state, item, now, known)


def internal_error(state: State | None, item: CommandRecord, now: str, known: Known = NOTHING_KNOWN) -> Decision:
    """The outcome of a command that went to the dead letters (I8). One that was decided before has its outcome."""
    draft = Draft(state, cause_of(item, item.actor.tag, now))
    if known.handled:
        draft.repeated(known.first)
    else:
        draft.rejected("INTERNAL", "A fault of ours: the command was put aside and changed nothing.")
    return draft.outcome()


def _decide_command(state: State | None, item: Command, now: str, known: Known) -> Decision:
    draft = Draft(state, cause_of(item, item.actor.tag, now))
    if known.handled:
        draft.repeated(known.first)
    elif item.expires_at is not None and now > item.expires_at:
        draft.rejected("EXPIRED", "The command came too late.")
    elif not draft.exists or (draft.state.status is None and not isinstance(item, UpdateContact | EraseContact)):
        draft.rejected("NOT_FOUND", "There is no such conversation.")
    else:
        _apply(draft, item)
    return draft.outcome()


def _apply(draft: Draft, item: Command) -> None:  # noqa: C901 - a table
    match item:
        case SendReply():
            agent.reply(draft, item)
        case AddNote():
            agent.note(draft, item)
        case Assign():
            agent.assign(draft, item)
        case Close():
            agent.close(draft)
        case Reopen():
            agent.reopen(draft)
        case EraseContact():
            erasing.erase(draft, item)
        case UpdateContact():
            agent.update_contact(draft, item)
        case DisableBot():
            bot.disable_by_command(draft)
        case EnableBot():
            bot.enable_by_command(draft, item)
        case BotReply():
            bot.reply(draft, item)
        case BotFailed():
            bot.failed(draft, item)
        case _:
            assert_never(item)
