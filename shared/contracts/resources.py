"""The shapes of DESIGN 7: what the API, the events and the adapters show. Missing values are null."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from shared.contracts.shape import ExternalId, MemberId, MessageId, Shape, Text, Uuid
from shared.contracts.times import Timestamp

Role = Literal["owner", "manager", "agent"]
AuthorKind = Literal["contact", "agent", "bot"]
AttachmentKind = Literal["image", "audio", "voice", "video", "file"]
AttachmentStatus = Literal["pending", "ready", "rejected"]
ConversationStatus = Literal["open", "closed"]
MessageStatus = Literal["queued", "sent", "delivered", "read", "played", "failed", "unknown"]
MediaState = Literal["uploading", "processing", "ready", "rejected"]
Presence = Literal["online", "away", "offline"]
ErasureReason = Literal["request", "retention"]
"""Somebody asked for it, or the conversation was idle for longer than the installation keeps them."""
MAX_NAME = 200
MAX_FALLBACK = 1_000
Name = Annotated[str, StringConstraints(max_length=MAX_NAME)]


class Identity(Shape):
    channel_id: str
    external_id: ExternalId


class Contact(Shape):
    """A customer. `name` is the given name, else first + last; `version` rises with every change."""

    id: Uuid
    channel_id: str
    external_id: ExternalId
    identities: tuple[Identity, ...]
    first_name: Name | None = None
    last_name: Name | None = None
    name: str | None = None
    email: str | None = None
    country: str | None = None
    version: int


class Author(Shape):
    """`id`: the contact's, the member's, or null for the bot."""

    kind: AuthorKind
    id: str | None
    name: str | None


class Attachment(Shape):
    """`size` in bytes, `duration_s` in seconds."""

    media_id: Uuid
    kind: AttachmentKind
    content_type: str | None = None
    filename: str | None = None
    size: int | None = None
    duration_s: float | None = None
    status: AttachmentStatus


class Message(Shape):
    """`status` is null for messages of the contact and for notes; UIs sort by `seq`, not by time."""

    id: MessageId
    seq: int
    conversation_id: Uuid
    author: Author
    text: Text | None
    attachments: tuple[Attachment, ...] = ()
    status: MessageStatus | None
    external_id: ExternalId | None
    occurred_at: Timestamp
    accepted_at: Timestamp
    reply_to: str | None


class BotState(Shape):
    """`epoch` rises with every enable and disable; a bot's answer to an older epoch is dropped."""

    configured: bool
    enabled: bool
    epoch: int


class Conversation(Shape):
    id: Uuid
    channel_id: str
    contact: Contact
    status: ConversationStatus
    assignee: MemberId | None
    bot: BotState
    needs_human: bool
    seq: int
    unread: int
    last_message: Message | None
    updated_at: Timestamp


class Member(Shape):
    id: MemberId
    name: str
    role: Role
    active: bool
    presence: Presence
    version: int


class SnippetFallback(Shape):
    fallback: Annotated[str, StringConstraints(max_length=MAX_FALLBACK)]


class Snippet(Shape):
    """A standardized answer. `variables` such as `contact.email`, each once, in the order of the message; `uses`,
    `used_at`: how often it was rendered, and when last."""

    id: Uuid
    name: str
    message: str
    theme: str | None
    missing: Literal["literal", "omit", "block"] | SnippetFallback
    variables: tuple[str, ...]
    uses: int
    used_at: Timestamp | None = None
    version: int
    updated_at: Timestamp


class Rendition(Shape):
    """One form of a media. `size` in bytes; `sha256`, of the content, in hex."""

    name: Literal["original", "ogg", "m4a", "thumb"]
    content_type: str
    size: int
    sha256: str


class Media(Shape):
    """A file on its way in, or kept. `code`: why it was rejected. `waveform`: 64 peaks from 0 to 1, of a recording.
    `attachable`: replies may carry it; what was taken out of the library is not, though it stays where it was sent."""

    id: Uuid
    purpose: Literal["voice", "attachment"]
    state: MediaState
    code: str | None = None
    content_type: str | None = None
    filename: str | None = None
    size: int | None = None
    duration_s: float | None = None
    waveform: tuple[float, ...] | None = None
    renditions: tuple[Rendition, ...] = ()
    attachable: bool
    version: int


class LibraryFile(Shape):
    """A file of the workspace's library; replies attach it by its `media_id`. `code`: why it was rejected."""

    id: Uuid
    media_id: Uuid
    name: str
    description: str | None
    content_type: str
    size: int
    state: MediaState
    code: str | None = None
    added_by: MemberId
    added_at: Timestamp
    version: int


class BotSettings(Shape):
    kind: Literal["webhook"]
    settings: dict[str, Any] = Field(default_factory=dict)


class Channel(Shape):
    """What the API shows of a channel; secrets are write-only."""

    id: str
    kind: str
    name: str
    settings: dict[str, Any]
    bot: BotSettings | None
