"""What a channel told us -> records of `channel.inbound`. Pure; knows no channel's wire format, no clock, no HTTP.

Ids are derived (DESIGN 1): the same event of the same channel makes the same record, however often it is sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, assert_never
from uuid import UUID

from shared.contracts import ids
from shared.contracts.inbound import (
    ContactSeen,
    InboundAttachment,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    ReceiptReceived,
    Reported,
    Sender,
)
from shared.contracts.resources import AttachmentKind
from shared.contracts.shape import null_if_blank

_OPTIONAL = tuple(name for name in Sender.model_fields if name != "id")

Taken = MessageReceived | MessageEdited | MessageDeleted | ContactSeen | ReceiptReceived


@dataclass(frozen=True, slots=True)
class AttachmentInput:
    kind: AttachmentKind
    url: str
    content_type: str | None = None
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class MessageInput:
    """A new message of a contact. `occurred_at` is the provider's clock in our form (shared.contracts.times)."""

    external_id: str
    sender: Sender
    occurred_at: str
    text: str | None = None
    attachments: tuple[AttachmentInput, ...] = ()
    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class EditInput:
    external_id: str
    contact: str
    text: str | None


@dataclass(frozen=True, slots=True)
class DeleteInput:
    external_id: str
    contact: str


@dataclass(frozen=True, slots=True)
class ContactInput:
    sender: Sender


@dataclass(frozen=True, slots=True)
class OurMessage:
    """A message of ours, by our id."""

    message_id: str


@dataclass(frozen=True, slots=True)
class ProviderMessage:
    """A message of ours, by the id the provider gave it; `contact` is who it went to, as the channel names them."""

    provider_message_id: str
    contact: str


@dataclass(frozen=True, slots=True)
class ReceiptInput:
    about: OurMessage | ProviderMessage
    status: Reported
    occurred_at: str
    error: str | None = None


Input = MessageInput | EditInput | DeleteInput | ContactInput | ReceiptInput


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Where and when a request was taken. `request_id` names it, the same when it is sent again."""

    namespace: UUID
    workspace: str
    channel_id: str
    channel_kind: str
    bot_kind: str | None
    accepted_at: str
    request_id: str


def records(acceptance: Acceptance, inputs: Sequence[Input]) -> list[Taken]:
    """One record for each input, in order."""
    return [_record(acceptance, index, item) for index, item in enumerate(inputs)]


def _record(acceptance: Acceptance, index: int, item: Input) -> Taken:
    match item:
        case MessageInput():
            return _message(acceptance, item)
        case ReceiptInput():
            return _receipt(acceptance, index, item)
        case ContactInput():
            contact, conversation = _thread(acceptance, item.sender.id)
            common = _common(acceptance, conversation, "contact", _nth(acceptance, index))
            return ContactSeen(**common, contact_id=contact, sender=_known(item.sender))
        case EditInput():
            contact, conversation = _thread(acceptance, item.contact)
            common = _common(acceptance, conversation, "edit", _nth(acceptance, index))
            return MessageEdited(**common, contact_id=contact, external_id=item.external_id, text=item.text)
        case DeleteInput():
            contact, conversation = _thread(acceptance, item.contact)
            common = _common(acceptance, conversation, "delete", _nth(acceptance, index))
            return MessageDeleted(**common, contact_id=contact, external_id=item.external_id)
        case _:
            assert_never(item)


def _message(acceptance: Acceptance, item: MessageInput) -> MessageReceived:
    contact, conversation = _thread(acceptance, item.sender.id)
    return MessageReceived(
        **_common(acceptance, conversation, "message", item.external_id),
        contact_id=contact,
        sender=_known(item.sender),
        external_id=item.external_id,
        occurred_at=item.occurred_at,
        text=item.text,
        attachments=_attachments(conversation, item),
        reply_to=item.reply_to,
    )


def _receipt(acceptance: Acceptance, index: int, item: ReceiptInput) -> ReceiptReceived:
    message_id = provider_message_id = None
    match item.about:
        case OurMessage():
            message_id = item.about.message_id
            conversation, _ = ids.split_message_id(message_id)
        case ProviderMessage():
            provider_message_id = item.about.provider_message_id
            _, conversation = _thread(acceptance, item.about.contact)
        case _:
            assert_never(item.about)
    return ReceiptReceived(
        **_common(acceptance, conversation, "receipt", _nth(acceptance, index)),
        message_id=message_id,
        provider_message_id=provider_message_id,
        status=item.status,
        occurred_at=item.occurred_at,
        error=item.error,
    )


def _attachments(conversation: str, item: MessageInput) -> tuple[InboundAttachment, ...]:
    return tuple(
        InboundAttachment(
            media_id=ids.inbound_media_id(conversation, item.external_id, index),
            kind=file.kind,
            url=file.url,
            content_type=file.content_type,
            filename=file.filename,
        )
        for index, file in enumerate(item.attachments)
    )


def _known(sender: Sender) -> Sender:
    """A blank says as little of a contact as null does."""
    values = {name: getattr(sender, name) for name in _OPTIONAL}
    blank = {name: None for name, value in values.items() if value != null_if_blank(value)}
    return sender.model_copy(update=blank) if blank else sender


def _thread(acceptance: Acceptance, external_id: str) -> tuple[str, str]:
    return _thread_ids(acceptance.namespace, acceptance.workspace, acceptance.channel_id, external_id)


@lru_cache(maxsize=50_000)
def _thread_ids(namespace: UUID, workspace: str, channel_id: str, external_id: str) -> tuple[str, str]:
    """-> (contact id, conversation id). Kept, because making them is a third of a message's cost here."""
    contact = ids.contact_id(namespace, workspace, channel_id, external_id)
    return contact, ids.conversation_id(contact)


def _nth(acceptance: Acceptance, index: int) -> str:
    """Names an event that has no id of its own: the request it came in and its place there."""
    return ids.canonical(acceptance.request_id, index)


def _common(acceptance: Acceptance, conversation: str, kind: str, name: str) -> dict[str, Any]:
    """The fields of InboundRecord; the record's model checks them."""
    return {
        "id": ids.inbound_id(conversation, kind, name),
        "workspace": acceptance.workspace,
        "channel_id": acceptance.channel_id,
        "channel_kind": acceptance.channel_kind,
        "bot_kind": acceptance.bot_kind,
        "conversation_id": conversation,
        "accepted_at": acceptance.accepted_at,
    }
