"""Events of `workspace.events`: CloudEvents 1.0 in structured mode, past tense, immutable (DESIGN 5).

An event that changes a conversation has a `seq`, +1 within its conversation; `command.*` and resource events have none.
"""

from types import MappingProxyType
from typing import Any, Literal

import pydantic_core
from pydantic import ConfigDict, Field

from shared.contracts.resources import (
    Attachment,
    BotState,
    Contact,
    ErasureReason,
    LibraryFile,
    Member,
    Message,
    MessageStatus,
    Presence,
    Snippet,
)
from shared.contracts.shape import MemberId, MessageId, Shape, Text, Uuid, Workspace
from shared.contracts.times import Timestamp

CONTENT_TYPE = "application/cloudevents+json"


class ContactCreated(Shape):
    contact: Contact


class ContactUpdated(Shape):
    contact: Contact


class ContactErased(Shape):
    """Everything about the contact up to this event is gone from what we keep: fields, messages, notes, files. The
    conversation's `seq` goes on; a customer who writes again is a new contact under the same ids."""

    contact_id: Uuid
    by: str
    reason: ErasureReason


class ConversationOpened(Shape):
    by: str | None = None
    channel_id: str
    bot: BotState


class ConversationClosed(Shape):
    by: str | None = None


class ConversationReopened(Shape):
    by: str | None = None


class ConversationAssigned(Shape):
    assignee: MemberId | None
    previous: MemberId | None
    by: str
    reason: Literal["manual", "first_reply"]


class BotDisabled(Shape):
    """`reason`: `manual`, `reply` (a reply with disable_bot), `handoff` (the bot gave up) or `bot_removed`."""

    epoch: int
    by: str
    reason: Literal["manual", "reply", "handoff", "bot_removed"]


class BotEnabled(Shape):
    epoch: int
    by: str
    reason: Literal["manual"]


class BotReplyDropped(Shape):
    epoch: int
    reason: Literal["BOT_DISABLED", "STALE_EPOCH"]


class BotFailure(Shape):
    epoch: int
    reason: str


class MessageWasReceived(Shape):
    message: Message


class MessageSent(Shape):
    message: Message


class NoteAdded(Shape):
    message: Message


class MessageWasEdited(Shape):
    message_id: MessageId
    text: Text | None


class MessageWasDeleted(Shape):
    message_id: MessageId


class MessageStatusChanged(Shape):
    message_id: MessageId
    status: MessageStatus
    error: str | None = None


class First(Shape):
    """The first outcome of a repeated command."""

    type: str
    seq: int | None
    data: dict[str, Any]


class CommandAccepted(Shape):
    """Nothing had to change. `code` says why, for example `ALREADY_SO`."""

    command_id: Uuid
    code: str
    detail: str


class CommandRejected(Shape):
    """`missed`: the seqs of other agents' messages behind `STALE_VIEW`."""

    command_id: Uuid
    code: str
    detail: str
    missed: tuple[int, ...] | None = None


class CommandRepeated(Shape):
    command_id: Uuid
    code: str
    detail: str
    first: First | None = None


class ConversationRead(Shape):
    member: MemberId
    up_to_seq: int


class MemberUpdated(Shape):
    member: Member


class SnippetSaved(Shape):
    snippet: Snippet


class SnippetRemoved(Shape):
    """`snippet`: as it was last; `version` of the event is one more."""

    snippet: Snippet


class MediaReady(Shape):
    media_id: Uuid
    conversation_id: Uuid | None
    message_id: MessageId | None
    attachment: Attachment


class MediaRejected(Shape):
    media_id: Uuid
    conversation_id: Uuid | None
    message_id: MessageId | None
    code: str


class FileAdded(Shape):
    """A library file is ready to be attached, or its name or description changed."""

    file: LibraryFile


class FileRemoved(Shape):
    """`file`: as it was last; `version` of the event is one more."""

    file: LibraryFile


class Typing(Shape):
    member: MemberId


class PresenceChanged(Shape):
    member: MemberId
    state: Presence


EventData = (
    ContactCreated
    | ContactUpdated
    | ContactErased
    | ConversationOpened
    | ConversationClosed
    | ConversationReopened
    | ConversationAssigned
    | BotDisabled
    | BotEnabled
    | BotReplyDropped
    | BotFailure
    | MessageWasReceived
    | MessageSent
    | NoteAdded
    | MessageWasEdited
    | MessageWasDeleted
    | MessageStatusChanged
    | CommandAccepted
    | CommandRejected
    | CommandRepeated
    | ConversationRead
    | MemberUpdated
    | SnippetSaved
    | SnippetRemoved
    | MediaReady
    | MediaRejected
    | FileAdded
    | FileRemoved
    | Typing
    | PresenceChanged
)

EVENT_TYPES: MappingProxyType[str, type[Shape]] = MappingProxyType(
    {
        "relaydesk.contact.created.v1": ContactCreated,
        "relaydesk.contact.updated.v1": ContactUpdated,
        "relaydesk.contact.erased.v1": ContactErased,
        "relaydesk.conversation.opened.v1": ConversationOpened,
        "relaydesk.conversation.closed.v1": ConversationClosed,
        "relaydesk.conversation.reopened.v1": ConversationReopened,
        "relaydesk.conversation.assigned.v1": ConversationAssigned,
        "relaydesk.bot.disabled.v1": BotDisabled,
        "relaydesk.bot.enabled.v1": BotEnabled,
        "relaydesk.bot.reply_dropped.v1": BotReplyDropped,
        "relaydesk.bot.failed.v1": BotFailure,
        "relaydesk.message.received.v1": MessageWasReceived,
        "relaydesk.message.sent.v1": MessageSent,
        "relaydesk.note.added.v1": NoteAdded,
        "relaydesk.message.edited.v1": MessageWasEdited,
        "relaydesk.message.deleted.v1": MessageWasDeleted,
        "relaydesk.message.status_changed.v1": MessageStatusChanged,
        "relaydesk.command.accepted.v1": CommandAccepted,
        "relaydesk.command.rejected.v1": CommandRejected,
        "relaydesk.command.repeated.v1": CommandRepeated,
        "relaydesk.conversation.read.v1": ConversationRead,
        "relaydesk.member.updated.v1": MemberUpdated,
        "relaydesk.snippet.saved.v1": SnippetSaved,
        "relaydesk.snippet.removed.v1": SnippetRemoved,
        "relaydesk.media.ready.v1": MediaReady,
        "relaydesk.media.rejected.v1": MediaRejected,
        "relaydesk.file.added.v1": FileAdded,
        "relaydesk.file.removed.v1": FileRemoved,
        "relaydesk.typing.v1": Typing,
        "relaydesk.presence.v1": PresenceChanged,
    }
)
TYPE_OF: MappingProxyType[type[Shape], str] = MappingProxyType({data: name for name, data in EVENT_TYPES.items()})
UNSEQUENCED = (CommandAccepted, CommandRejected, CommandRepeated)


MAY_BE_ABSENT = ("seq", "version", "final", "audience")


def _may_be_absent(schema: dict[str, Any]) -> None:
    """These are left out rather than null (see `CloudEvent.encoded`)."""
    schema["required"] = [name for name in schema["required"] if name not in MAY_BE_ABSENT]


class CloudEvent(Shape):
    """The envelope. `subject`: conversation or resource id; `version`: of a resource; absent values are left out."""

    model_config = ConfigDict(json_schema_extra=_may_be_absent)

    specversion: Literal["1.0"] = "1.0"
    id: Uuid
    type: str
    source: str
    subject: str
    time: Timestamp
    datacontenttype: Literal["application/json"] = "application/json"
    workspace: Workspace
    seq: int | None = None
    version: int | None = None
    causationid: str
    actor: str
    final: bool | None = None
    audience: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)

    def encoded(self) -> bytes:
        """The record's value: JSON, UTF-8 not escaped; absent attributes left out, nulls inside `data` kept."""
        present = {k: v for k, v in self.__dict__.items() if v is not None}
        return pydantic_core.to_json(present)

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """Kafka headers that let the gateway forward the value without parsing it."""
        named = {
            "type": self.type,
            "subject": self.subject,
            "seq": self.seq,
            "audience": self.audience,
            "causationid": self.causationid,
            "final": "true" if self.final else None,
        }
        pairs = ((k, str(v).encode()) for k, v in named.items() if v is not None)
        return (("content-type", CONTENT_TYPE.encode()), *pairs)


def data_of(event: CloudEvent) -> Shape | None:
    """The event's data as its model; None for a type this version doesn't know. ValidationError if it doesn't fit."""
    model = EVENT_TYPES.get(event.type)
    return model.model_validate_json(pydantic_core.to_json(event.data), extra="ignore") if model else None
