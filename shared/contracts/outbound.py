"""What routing asks others to do (`channel.outbound`, `bot.requests`, `media.jobs`), and rows of compacted tables."""

from typing import Annotated, Any, Literal

from pydantic import Field

from shared.contracts.commands import SentAttachment
from shared.contracts.inbound import InboundAttachment
from shared.contracts.resources import Author, BotSettings, Contact, Media, Message
from shared.contracts.shape import ExternalId, MessageId, Shape, Text, Uuid, Workspace
from shared.contracts.times import Timestamp


class DeliverMessage(Shape):
    """One message for the channel. `bot_epoch` is set for a bot's message: a fence with a greater epoch silences it."""

    type: Literal["DeliverMessage"] = "DeliverMessage"
    workspace: Workspace
    channel_id: str
    channel_kind: str
    conversation_id: Uuid
    message_id: MessageId
    seq: int
    to: ExternalId
    text: Text | None
    attachments: tuple[SentAttachment, ...] = ()
    author: Author
    bot_epoch: int | None
    queued_at: Timestamp


class BotFence(Shape):
    """From here on no bot message of an epoch below `bot_epoch` may begin to be handed to the channel (DESIGN 6)."""

    type: Literal["BotFence"] = "BotFence"
    workspace: Workspace
    conversation_id: Uuid
    bot_epoch: int


class EraseConversation(Shape):
    """Forget what you keep of this conversation's messages up to `up_to_seq`, and begin nothing more with them. On
    `channel.outbound`, `bot.requests` and `media.jobs` (there with the conversation id as key)."""

    type: Literal["EraseConversation"] = "EraseConversation"
    workspace: Workspace
    conversation_id: Uuid
    up_to_seq: int


class BotRequest(Shape):
    """A customer's message for the bot; answered by BotReply or BotFailed with the same epoch; stale after 60 s."""

    type: Literal["BotRequest"] = "BotRequest"
    workspace: Workspace
    channel_id: str
    conversation_id: Uuid
    bot_kind: str
    epoch: int
    message: Message
    contact: Contact
    requested_at: Timestamp


class FetchMedia(Shape):
    """An inbound attachment to fetch from the channel's side; `media.ready` or `media.rejected` follows."""

    type: Literal["FetchMedia"] = "FetchMedia"
    workspace: Workspace
    channel_id: str
    conversation_id: Uuid
    message_id: MessageId
    attachment: InboundAttachment
    requested_at: Timestamp


class ProcessMedia(Shape):
    """An upload is complete: check it, keep it, make its renditions; `media.ready` or `media.rejected` follows."""

    type: Literal["ProcessMedia"] = "ProcessMedia"
    workspace: Workspace
    media_id: Uuid
    requested_at: Timestamp


class MediaReferenced(Shape):
    """An accepted message refers to these media: their objects must be kept."""

    type: Literal["MediaReferenced"] = "MediaReferenced"
    workspace: Workspace
    conversation_id: Uuid
    message_id: MessageId
    media_id: Uuid


class ContactRecord(Shape):
    """Row of the compacted topic `contacts`: the contact as of `contact.version`."""

    type: Literal["ContactRecord"] = "ContactRecord"
    workspace: Workspace
    conversation_id: Uuid
    contact: Contact


class MediaRecord(Shape):
    """Row of the compacted topic `media`; readers keep the highest `media.version`."""

    type: Literal["MediaRecord"] = "MediaRecord"
    workspace: Workspace
    media: Media


class SealedSecret(Shape):
    """A webhook secret, AES-GCM sealed for the channel (base64); `valid_until` is set on a rotated one."""

    sealed: str
    valid_until: Timestamp | None = None


class ChannelRecord(Shape):
    """Row of the compacted topic `channels`; readers keep the highest `version`. `deleted` precedes the tombstone."""

    type: Literal["ChannelRecord"] = "ChannelRecord"
    workspace: Workspace
    id: str
    kind: str
    name: str
    settings: dict[str, Any]
    bot: BotSettings | None
    secrets: Annotated[tuple[SealedSecret, ...], Field(max_length=8)]
    version: int
    deleted: bool = False


Outbound = DeliverMessage | BotFence | EraseConversation
BotWork = BotRequest | EraseConversation
MediaJob = FetchMedia | ProcessMedia | MediaReferenced | EraseConversation
