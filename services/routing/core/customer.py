"""Rules for what the customer did: wrote, edited, deleted, was seen."""

from services.routing.core import bot, contact
from services.routing.core.decision import Cause, Decision, Draft, Illegal, Known
from services.routing.core.state import State
from shared.contracts.events import (
    ConversationOpened,
    ConversationReopened,
    MessageWasDeleted,
    MessageWasEdited,
    MessageWasReceived,
)
from shared.contracts.ids import message_id
from shared.contracts.inbound import ContactSeen, InboundAttachment, MessageDeleted, MessageEdited, MessageReceived
from shared.contracts.outbound import BotRequest, FetchMedia
from shared.contracts.resources import Attachment, Author, BotState, Message


def message(state: State | None, item: MessageReceived, now: str, known: Known) -> Decision:
    draft = _draft(state, item, now)
    if known.message_seq is not None:
        draft.count("message_known")
        return draft.decision()
    _introduce(draft, item)
    _open(draft, item)
    contact.update_from_channel(draft, item.sender)
    bot.removed(draft, item.bot_kind)
    _receive(draft, item)
    return draft.decision()


def seen(state: State | None, item: ContactSeen, now: str) -> Decision:
    draft = _draft(state, item, now)
    _introduce(draft, item)
    contact.update_from_channel(draft, item.sender)
    bot.removed(draft, item.bot_kind)
    return draft.decision()


def edit(state: State | None, item: MessageEdited | MessageDeleted, now: str, known: Known) -> Decision:
    """What we never had, have erased or no longer remember (15 days) can't be edited; a repeat is done already."""
    draft = _draft(state, item, now)
    if known.handled:
        return draft.decision()
    if not draft.exists or known.message_seq is None or known.message_seq <= draft.state.erased_seq:
        draft.count("edit_unknown")
        return draft.decision()
    bot.removed(draft, item.bot_kind)
    ident = message_id(item.conversation_id, known.message_seq)
    if isinstance(item, MessageEdited):
        draft.event(MessageWasEdited(message_id=ident, text=item.text))
    else:
        draft.event(MessageWasDeleted(message_id=ident))
    return draft.decision()


def _draft(
    state: State | None, item: MessageReceived | MessageEdited | MessageDeleted | ContactSeen, now: str
) -> Draft:
    contact = state.contact if state is not None else None
    if contact is not None and (contact.id, contact.channel_id) != (item.contact_id, item.channel_id):
        raise Illegal("FOREIGN", "the conversation belongs to another contact or channel")
    actor = f"contact:{item.contact_id}"
    return Draft(state, Cause(item.workspace, item.conversation_id, item.id, actor, now))


def _introduce(draft: Draft, item: MessageReceived | ContactSeen) -> None:
    if not draft.exists:
        contact.create(draft, item.contact_id, item.channel_id, item.sender)
    if draft.state.book.channel_kind != item.channel_kind:
        draft.book(channel_kind=item.channel_kind)


def _open(draft: Draft, item: MessageReceived) -> None:
    if draft.state.status is None:
        has_bot = item.bot_kind is not None
        state = BotState(configured=has_bot, enabled=has_bot, epoch=draft.state.bot_epoch)
        draft.event(ConversationOpened(by=draft.cause.actor, channel_id=item.channel_id, bot=state))
    elif draft.state.status == "closed":
        draft.event(ConversationReopened(by=draft.cause.actor))


def _receive(draft: Draft, item: MessageReceived) -> None:
    state, seq = draft.state, draft.next_seq
    received = Message(
        id=message_id(state.id, seq),
        seq=seq,
        conversation_id=state.id,
        author=Author(kind="contact", id=draft.contact.id, name=draft.contact.name),
        text=item.text,
        attachments=tuple(_pending(one) for one in item.attachments),
        status=None,
        external_id=item.external_id,
        occurred_at=item.occurred_at,
        accepted_at=item.accepted_at,
        reply_to=item.reply_to,
    )
    draft.event(MessageWasReceived(message=received))
    for one in item.attachments:
        draft.effect(_fetch(draft, received.id, one))
    if state.bot_enabled and item.bot_kind is not None:
        draft.effect(_request(draft, received, item.bot_kind))


def _pending(one: InboundAttachment) -> Attachment:
    return Attachment(
        media_id=one.media_id,
        kind=one.kind,
        content_type=one.content_type,
        filename=one.filename,
        status="pending",
    )


def _fetch(draft: Draft, message: str, attachment: InboundAttachment) -> FetchMedia:
    return FetchMedia(
        workspace=draft.state.workspace,
        channel_id=draft.contact.channel_id,
        conversation_id=draft.state.id,
        message_id=message,
        attachment=attachment,
        requested_at=draft.cause.now,
    )


def _request(draft: Draft, received: Message, bot_kind: str) -> BotRequest:
    return BotRequest(
        workspace=draft.state.workspace,
        channel_id=draft.contact.channel_id,
        conversation_id=draft.state.id,
        bot_kind=bot_kind,
        epoch=draft.state.bot_epoch,
        message=received,
        contact=draft.contact,
        requested_at=draft.cause.now,
    )
