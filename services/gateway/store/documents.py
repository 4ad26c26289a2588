"""What the read model's documents look like, both ways. Knows no query and no transaction.

`conversations`: `_id` = document key · `events` (the archive): `_id` = document key + seq, padded so that ids sort as
seqs do · `counters`: `_id` = workspace, or workspace and member · `words`: by what a message is found, `_id` as in
`events`; with seq 0 the contact's names.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from services.gateway.core import ConversationState, CounterOf
from services.gateway.fold import Row, RowId
from shared.contracts.ids import document_key
from shared.contracts.resources import Contact, Message
from shared.runtime.mongo import Document

CONVERSATIONS = "conversations"
EVENTS = "events"
COUNTERS = "counters"
POSITIONS = "positions"
WORDS = "words"
READ_MODEL = (CONVERSATIONS, EVENTS, COUNTERS, POSITIONS, WORDS)

_SEQ_DIGITS = 16
_FIELDS = tuple(field.name for field in dataclasses.fields(ConversationState))


def row_id(row: RowId) -> str:
    return f"{row[0]}:{row[1]:0{_SEQ_DIGITS}}"


def row_key(ident: str) -> RowId:
    key, _, seq = ident.rpartition(":")
    return key, int(seq)


def row_document(row: Row) -> Document:
    return {
        "_id": row_id(row.id),
        "workspace": row.workspace,
        "causation_id": row.causation_id,
        "received": row.received,
        "event": row.event,
    }


def words_document(row: RowId, words: Sequence[str]) -> Document:
    key = row[0]
    workspace = key.rpartition(":")[0]
    return {"_id": row_id(row), "workspace": workspace, "conversation": key, "words": list(words)}


def counter_id(whose: CounterOf) -> str:
    workspace, member = whose
    return workspace if member is None else document_key(workspace, member)


def activity(state: ConversationState) -> str:
    """The order of the inbox as one sortable text, different for each conversation: what its pages are cut by."""
    return f"{state.updated_at} {state.id}"


def conversation_document(state: ConversationState) -> Document:
    return {
        "_id": state.key,
        "workspace": state.workspace,
        "id": state.id,
        "seq": state.seq,
        "channel_id": state.channel_id,
        "contact": state.contact.model_dump() if state.contact else None,
        "status": state.status,
        "assignee": state.assignee,
        "assigned_seq": state.assigned_seq,
        "bot_enabled": state.bot_enabled,
        "bot_epoch": state.bot_epoch,
        "needs_human": state.needs_human,
        "received": state.received,
        "settled": state.settled,
        "read_up_to": state.read_up_to,
        "last_message": state.last_message.model_dump() if state.last_message else None,
        "updated_at": state.updated_at,
        "erased_seq": state.erased_seq,
        "activity": activity(state),
    }


def conversation_state(document: Mapping[str, Any]) -> ConversationState:
    contact, last = document["contact"], document["last_message"]
    fields = {name: document[name] for name in _FIELDS if name in document}
    fields["contact"] = Contact.model_validate(contact, strict=False) if contact else None
    fields["last_message"] = Message.model_validate(last, strict=False) if last else None
    return ConversationState(**fields)
