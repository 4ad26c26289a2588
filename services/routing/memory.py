"""Which ids an input names, what is known about them, and what to remember of a decision. Pure; knows no database.

Kinds: `message` (the channel's id of a customer's message), `edit` (the record of an edit or deletion), `command`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from services.routing.core import NOTHING_KNOWN, Decision, Known
from shared.contracts.commands import CommandRecord
from shared.contracts.events import (
    TYPE_OF,
    CloudEvent,
    CommandRepeated,
    ContactErased,
    First,
    MessageWasDeleted,
    MessageWasEdited,
    MessageWasReceived,
    data_of,
)
from shared.contracts.inbound import InboundRecord, MessageDeleted, MessageEdited, MessageReceived

Item = InboundRecord | CommandRecord


@dataclass(frozen=True, slots=True)
class Remembered:
    """`key`: document, kind and id. `seq`: of the message; `first`: the outcome of the command, unless erased."""

    key: str
    seq: int | None = None
    first: First | None = None


def names(key: str, item: Item) -> tuple[str, ...]:
    """The keys under which something about `item` may be remembered; `key` is its document's."""
    match item:
        case MessageReceived():
            return (_message(key, item.external_id),)
        case MessageEdited() | MessageDeleted():
            return (_message(key, item.external_id), _edit(key, item))
        case CommandRecord():
            return (_command(key, item),)
        case _:
            return ()


def known(key: str, item: Item, remembered: Mapping[str, Remembered]) -> Known:
    match item:
        case MessageReceived():
            message = remembered.get(_message(key, item.external_id))
            return Known(message_seq=message.seq) if message else NOTHING_KNOWN
        case MessageEdited() | MessageDeleted():
            message = remembered.get(_message(key, item.external_id))
            return Known(message_seq=message.seq if message else None, handled=_edit(key, item) in remembered)
        case CommandRecord():
            command = remembered.get(_command(key, item))
            return Known(handled=True, first=command.first) if command else NOTHING_KNOWN
        case _:
            return NOTHING_KNOWN


def to_remember(key: str, item: Item, decision: Decision, before: Known) -> Remembered | None:
    """What the decision adds; None where it is known already or nothing has happened."""
    if not decision.events or before.handled:
        return None
    last = decision.events[-1]
    match item:
        case MessageReceived() if isinstance(last.data, MessageWasReceived):
            return Remembered(_message(key, item.external_id), seq=last.seq)
        case MessageEdited() | MessageDeleted():
            return Remembered(_edit(key, item))
        case CommandRecord():
            outcome = First(type=TYPE_OF[type(last.data)], seq=last.seq, data=last.data.model_dump(mode="json"))
            return Remembered(_command(key, item), first=outcome)
        case _:
            return None


def erases(decision: Decision) -> bool:
    """Whether it erases what its conversation was, and with it what is remembered of outcomes."""
    return any(isinstance(event.data, ContactErased) for event in decision.events)


def without_outcomes(remembered: Mapping[str, Remembered], key: str) -> dict[str, Remembered]:
    """Commands of this document stay known, but not what they said."""
    prefix = command_prefix(key)
    return {name: replace(one, first=None) if name.startswith(prefix) else one for name, one in remembered.items()}


def command_prefix(key: str) -> str:
    return f"{key}:command:"


def told_by(key: str, event: CloudEvent) -> Iterable[Remembered]:
    """What `to_remember` added when this event was decided, as far as the event says it."""
    match data_of(event):
        case MessageWasReceived(message=message) if message.external_id is not None:
            yield Remembered(_message(key, message.external_id), seq=event.seq)
        case MessageWasEdited() | MessageWasDeleted():
            yield Remembered(_edit_of(key, event.causationid))
        case CommandRepeated():
            return
    if event.final:
        outcome = First(type=event.type, seq=event.seq, data=event.data)
        yield Remembered(command(key, event.causationid), first=outcome)


def _message(key: str, external_id: str) -> str:
    return f"{key}:message:{external_id}"


def _edit(key: str, item: InboundRecord) -> str:
    return _edit_of(key, item.id)


def _command(key: str, item: CommandRecord) -> str:
    return command(key, item.id)


def command(key: str, ident: str) -> str:
    """Under which the outcome of the command with this id is remembered."""
    return command_prefix(key) + ident


def _edit_of(key: str, ident: str) -> str:
    return f"{key}:edit:{ident}"
