"""Identifiers: deterministic uuid5 over canonical JSON arrays, so that a repeat makes the same id (DESIGN 1, 5)."""

import json
import re
from uuid import UUID, uuid5

WORKSPACE_PATTERN = r"^[a-z0-9-]{1,63}$"
UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
MESSAGE_ID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}-[1-9][0-9]{0,15}$"
_MESSAGE_ID = re.compile(MESSAGE_ID_PATTERN)


def canonical(*parts: str | int) -> str:
    """The canonical JSON array of the parts: no spaces, UTF-8 as it is."""
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=False)


def contact_id(namespace: UUID, workspace: str, channel: str, external_id: str) -> str:
    return str(uuid5(namespace, canonical(workspace, channel, external_id)))


def conversation_id(contact: str) -> str:
    return str(uuid5(UUID(contact), "conversation"))


def message_id(conversation: str, seq: int) -> str:
    return f"{conversation}-{seq}"


def split_message_id(ident: str) -> tuple[str, int]:
    """-> (conversation id, seq). ValueError where `ident` is no message id."""
    if not _MESSAGE_ID.match(ident):
        raise ValueError("not a message id: expected <conversation id>-<seq>")
    conversation, _, seq = ident.rpartition("-")
    return conversation, int(seq)


def event_id(conversation: str, seq: int) -> str:
    return str(uuid5(UUID(conversation), str(seq)))


def outcome_event_id(command: str, outcome: str) -> str:
    """Id of `command.accepted|rejected|repeated`: from the command's id, since these have no seq."""
    return str(uuid5(UUID(command), outcome))


def command_id(workspace: str, member: str, key: str) -> str:
    return str(uuid5(COMMANDS, canonical(workspace, member, key)))


def bot_reply_id(request_message: str, epoch: int) -> str:
    """One id per request and epoch: of two answers to one request the first wins (DESIGN 3.7)."""
    return str(uuid5(BOT_REPLIES, canonical(request_message, epoch)))


def inbound_id(conversation: str, kind: str, external_id: str) -> str:
    """Id of an inbound record; the same for every retry of the same provider event."""
    return str(uuid5(UUID(conversation), canonical(kind, external_id)))


def inbound_media_id(conversation: str, external_id: str, index: int) -> str:
    return str(uuid5(UUID(conversation), canonical("media", external_id, index)))


def object_key(workspace: str, sha256: str) -> str:
    """Where S3 keeps a content that was checked; never changed, and the same content is there once."""
    return f"{workspace}/{sha256}"


def document_key(workspace: str, ident: str) -> str:
    """Key of a record and `_id` of a document: the workspace is part of it, so a foreign id simply does not exist."""
    return f"{workspace}:{ident}"


COMMANDS = uuid5(UUID(int=0), "relaydesk.commands")
BOT_REPLIES = uuid5(UUID(int=0), "relaydesk.bot-replies")
