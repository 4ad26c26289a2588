"""How a message of ours leaves: the event, the record for the channel, the references to its files."""

from dataclasses import dataclass

from services.routing.core.decision import Draft
from services.routing.core.state import SENT_LIMIT
from shared.contracts.commands import SentAttachment
from shared.contracts.events import MessageSent
from shared.contracts.ids import message_id
from shared.contracts.outbound import DeliverMessage, MediaReferenced
from shared.contracts.resources import Attachment, Author, Message, MessageStatus


@dataclass(frozen=True, slots=True)
class Words:
    """What is said, by whom, and when we took it."""

    author: Author
    accepted_at: str
    text: str | None
    attachments: tuple[SentAttachment, ...] = ()


def send(draft: Draft, words: Words, bot_epoch: int | None = None) -> None:
    if len(draft.state.sent) == SENT_LIMIT:
        draft.count("status_forgotten")
    message = compose(draft, words, "queued")
    draft.event(MessageSent(message=message))
    draft.effect(_delivery(draft, message, words, bot_epoch))
    for one in words.attachments:
        draft.effect(_reference(draft, message, one))


def compose(draft: Draft, words: Words, status: MessageStatus | None) -> Message:
    """The message as the next event shows it; where the files lie is nobody's business but dispatch's."""
    ident, seq = draft.state.id, draft.next_seq
    return Message(
        id=message_id(ident, seq),
        seq=seq,
        conversation_id=ident,
        author=words.author,
        text=words.text,
        attachments=tuple(_shown(one) for one in words.attachments),
        status=status,
        external_id=None,
        occurred_at=words.accepted_at,
        accepted_at=words.accepted_at,
        reply_to=None,
    )


def _shown(one: SentAttachment) -> Attachment:
    return Attachment(
        media_id=one.media_id,
        kind=one.kind,
        content_type=one.content_type,
        filename=one.filename,
        size=one.size,
        duration_s=one.duration_s,
        status=one.status,
    )


def _delivery(draft: Draft, message: Message, words: Words, bot_epoch: int | None) -> DeliverMessage:
    state = draft.state
    return DeliverMessage(
        workspace=state.workspace,
        channel_id=draft.contact.channel_id,
        channel_kind=state.book.channel_kind,
        conversation_id=state.id,
        message_id=message.id,
        seq=message.seq,
        to=draft.contact.external_id,
        text=words.text,
        attachments=words.attachments,
        author=words.author,
        bot_epoch=bot_epoch,
        queued_at=draft.cause.now,
    )


def _reference(draft: Draft, message: Message, one: SentAttachment) -> MediaReferenced:
    return MediaReferenced(
        workspace=draft.state.workspace,
        conversation_id=draft.state.id,
        message_id=message.id,
        media_id=one.media_id,
    )
