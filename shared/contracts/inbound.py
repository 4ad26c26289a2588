"""Records of `channel.inbound`: what channels told us. Each carries the channel's kind and bot kind as of acceptance,
so that routing needs no registry. `id` is the record's id: the `causationid` of the events it makes."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.contracts.resources import AttachmentKind, Name
from shared.contracts.shape import MAX_ATTACHMENTS, ExternalId, MessageId, Shape, Text, Uuid, Workspace
from shared.contracts.times import Timestamp

Reported = Literal["sent", "delivered", "read", "played", "failed", "unknown"]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Reason = Annotated[str, StringConstraints(max_length=1000)]


class Sender(Shape):
    """The contact as the channel knows it; null means unknown, not empty."""

    id: ExternalId
    first_name: Name | None = None
    last_name: Name | None = None
    name: Name | None = None
    email: Annotated[str, StringConstraints(max_length=320)] | None = None
    country: Annotated[str, StringConstraints(max_length=64)] | None = None


class InboundAttachment(Shape):
    """A file at the channel's side: fetched later by media through `url`; `media_id` is ours, given at acceptance."""

    media_id: Uuid
    kind: AttachmentKind
    url: Url
    content_type: str | None = None
    filename: str | None = None


class InboundRecord(Shape):
    """What all inbound records say. `contact_id` and `conversation_id` are derived (shared.contracts.ids)."""

    id: Uuid
    workspace: Workspace
    channel_id: str
    channel_kind: str
    bot_kind: str | None
    conversation_id: Uuid
    accepted_at: Timestamp


class MessageReceived(InboundRecord):
    type: Literal["MessageReceived"] = "MessageReceived"
    contact_id: Uuid
    sender: Sender
    external_id: ExternalId
    occurred_at: Timestamp
    text: Text | None = None
    attachments: Annotated[tuple[InboundAttachment, ...], Field(max_length=MAX_ATTACHMENTS)] = ()
    reply_to: Annotated[str, StringConstraints(max_length=512)] | None = None


class MessageEdited(InboundRecord):
    """The contact changed a message that has `external_id`."""

    type: Literal["MessageEdited"] = "MessageEdited"
    contact_id: Uuid
    external_id: ExternalId
    text: Text | None = None


class MessageDeleted(InboundRecord):
    type: Literal["MessageDeleted"] = "MessageDeleted"
    contact_id: Uuid
    external_id: ExternalId


class ContactSeen(InboundRecord):
    type: Literal["ContactSeen"] = "ContactSeen"
    contact_id: Uuid
    sender: Sender


class ReceiptReceived(InboundRecord):
    """Names the message by our id or by the provider's; exactly one of them is set."""

    type: Literal["ReceiptReceived"] = "ReceiptReceived"
    message_id: MessageId | None = None
    provider_message_id: ExternalId | None = None
    status: Reported
    occurred_at: Timestamp
    error: Reason | None = None


class DeliveryReported(InboundRecord):
    """Dispatch's outcome of one attempt; `id` = uuid5(message id + attempt)."""

    type: Literal["DeliveryReported"] = "DeliveryReported"
    message_id: MessageId
    attempt: int
    status: Literal["sent", "failed", "unknown"]
    provider_message_id: ExternalId | None = None
    error: Reason | None = None


Inbound = MessageReceived | MessageEdited | MessageDeleted | ContactSeen | ReceiptReceived | DeliveryReported
