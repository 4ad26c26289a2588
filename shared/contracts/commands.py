"""Records of `conversation.commands`: what an agent or the bot asks for. `id` is the command id, the `causationid` of
what it makes; every command gets exactly one outcome (an event with `final`, or `command.*`)."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.contracts.inbound import Reason
from shared.contracts.resources import Attachment, ErasureReason, Name
from shared.contracts.shape import MAX_ATTACHMENTS, MemberId, MessageId, Shape, Text, Uuid, Workspace
from shared.contracts.times import Timestamp


class Actor(Shape):
    """Who asks: a member with the name to show, or the bot (`id` null)."""

    kind: Literal["agent", "bot", "system"]
    id: MemberId | None
    name: str | None

    @property
    def tag(self) -> str:
        """As in the event attribute `actor` and in `audience`: `agent:ID`, `bot`, `system`."""
        return f"agent:{self.id}" if self.kind == "agent" else self.kind


class CommandRecord(Shape):
    """`accepted_at` is the gateway's clock; past `expires_at` a command is rejected `EXPIRED` instead of done late."""

    id: Uuid
    workspace: Workspace
    conversation_id: Uuid
    actor: Actor
    accepted_at: Timestamp
    expires_at: Timestamp | None = None


class SentAttachment(Attachment):
    """An attachment of ours: `objects` maps rendition -> S3 key, for dispatch to sign; `sizes` -> bytes."""

    objects: dict[str, str] = Field(default_factory=dict)
    sizes: dict[str, int] = Field(default_factory=dict)


class SendReply(CommandRecord):
    type: Literal["SendReply"] = "SendReply"
    text: Text | None = None
    attachments: Annotated[tuple[SentAttachment, ...], Field(max_length=MAX_ATTACHMENTS)] = ()
    snippet_id: str | None = None
    last_seen_seq: int | None = None
    force: bool = False
    disable_bot: bool = False


class AddNote(CommandRecord):
    type: Literal["AddNote"] = "AddNote"
    text: Text


class Assign(CommandRecord):
    """`expected_version`: the seq of the last `conversation.assigned` that the member saw."""

    type: Literal["Assign"] = "Assign"
    assignee: MemberId | None
    expected_version: int | None = None


class DisableBot(CommandRecord):
    type: Literal["DisableBot"] = "DisableBot"


class EnableBot(CommandRecord):
    """`bot_kind`: the channel's bot as the gateway knows it; null = the channel has none."""

    type: Literal["EnableBot"] = "EnableBot"
    bot_kind: str | None


class Close(CommandRecord):
    type: Literal["Close"] = "Close"


class Reopen(CommandRecord):
    type: Literal["Reopen"] = "Reopen"


class UpdateContact(CommandRecord):
    """Only the named fields change; null clears. A field set by an agent is not changed by the channel any more."""

    type: Literal["UpdateContact"] = "UpdateContact"
    fields: dict[Literal["first_name", "last_name", "name", "email", "country"], Name | None]


class EraseContact(CommandRecord):
    """Forget the contact, the conversation's content and its files. `expected_seq`: only if nothing has happened since;
    else rejected `CONFLICT`. Asked for by an owner or a manager, or by the system (retention)."""

    type: Literal["EraseContact"] = "EraseContact"
    reason: ErasureReason
    expected_seq: int | None = None


class BotText(Shape):
    text: Text


class BotReply(CommandRecord):
    """`id` = uuid5(request message id, epoch): the first answer to a request wins."""

    type: Literal["BotReply"] = "BotReply"
    request_message_id: MessageId
    epoch: int
    replies: tuple[BotText, ...]
    handoff: bool = False


class BotFailed(CommandRecord):
    type: Literal["BotFailed"] = "BotFailed"
    request_message_id: MessageId
    epoch: int
    reason: Annotated[Reason, StringConstraints(min_length=1)]


Command = (
    SendReply
    | AddNote
    | Assign
    | DisableBot
    | EnableBot
    | Close
    | Reopen
    | UpdateContact
    | EraseContact
    | BotReply
    | BotFailed
)
