"""Records as read -> arrivals, or the reason why a record is none. Knows no state and no effect."""

import json

from services.routing.documents import Arrival
from services.routing.memory import Item
from shared.contracts import wire
from shared.contracts.commands import CommandRecord
from shared.contracts.ids import document_key
from shared.contracts.topics import CHANNEL_INBOUND, CONVERSATION_COMMANDS, TOPICS
from shared.runtime.faults import Poison
from shared.runtime.records import Record

_DECODERS = {CHANNEL_INBOUND: wire.decode_inbound, CONVERSATION_COMMANDS: wire.decode_command}


def arrival(record: Record, source: str) -> Arrival:
    """Poison: UNDECODABLE, UNKNOWN_TYPE (of a later version?), KEY_MISMATCH (its owner may be another process)."""
    item = _decoded(record)
    key = document_key(item.workspace, item.conversation_id)
    if record.key != key.encode():
        raise Poison("KEY_MISMATCH", "the record's key is not its conversation's", record)
    return Arrival(record, source, key, item)


def command_of(record: Record) -> CommandRecord | None:
    """What every command has, of one that may be undecodable as a whole: enough to answer it."""
    try:
        return wire.decode_as(CommandRecord, record.value or b"")
    except wire.Undecodable:
        return None


def _decoded(record: Record) -> Item:
    try:
        return _DECODERS[record.topic](record.value or b"")
    except wire.Undecodable as error:
        reason = "UNDECODABLE" if _has_known_type(record) else "UNKNOWN_TYPE"
        raise Poison(reason, str(error), record) from error


def _has_known_type(record: Record) -> bool:
    """False only for a record that names a type which its topic doesn't carry."""
    try:
        value = json.loads(record.value or b"")
    except (ValueError, RecursionError):
        return True
    named = value.get("type") if isinstance(value, dict) else None
    return not isinstance(named, str) or named in TOPICS[record.topic].carries
