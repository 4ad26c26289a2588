"""Rules about what became of our messages: receipts of channels, outcomes of dispatch. A status only rises."""

from services.routing.core import bot
from services.routing.core.decision import Decision, Draft, Illegal, cause_of
from services.routing.core.state import PARKED_LIMIT, SENT_LIMIT, Delivery, Parked, State
from shared.contracts.events import MessageStatusChanged
from shared.contracts.ids import message_id, split_message_id
from shared.contracts.inbound import DeliveryReported, ReceiptReceived, Reported
from shared.contracts.resources import MessageStatus
from shared.contracts.statuses import raised


def receipt(state: State | None, item: ReceiptReceived, now: str) -> Decision:
    draft = _draft(state, item, now)
    if not draft.exists:
        draft.count("receipt_unknown")
        return draft.decision()
    bot.removed(draft, item.bot_kind)
    if item.message_id is not None and item.provider_message_id is None:
        _raise(draft, _seq_of(draft, item.message_id), item.status, item.error)
    elif item.provider_message_id is not None and item.message_id is None:
        _by_provider_id(draft, Parked(item.provider_message_id, item.status, item.error))
    else:
        raise Illegal("MALFORMED", "a receipt names a message by exactly one id")
    return draft.decision()


def delivery(state: State | None, item: DeliveryReported, now: str) -> Decision:
    """A report of an attempt that is known already says nothing new: it must not undo what came after it."""
    draft = _draft(state, item, now)
    seq, deliveries = _seq_of(draft, item.message_id), draft.state.book.deliveries
    known = next((one for one in reversed(deliveries) if one.seq == seq), None)
    if known is not None and known.attempt >= item.attempt:
        return draft.decision()
    if _status(draft, seq) is None:
        draft.count("receipt_unknown")
        return draft.decision()
    provider_id = item.provider_message_id or (known.provider_id if known else None)
    _remember(draft, Delivery(seq, item.attempt, provider_id))
    _raise(draft, seq, item.status, item.error)
    _join_parked(draft, seq, provider_id)
    return draft.decision()


def _draft(state: State | None, item: ReceiptReceived | DeliveryReported, now: str) -> Draft:
    if state is None or (state.contact is not None and state.contact.channel_id != item.channel_id):
        raise Illegal("FOREIGN", "the channel has no such conversation")
    return Draft(state, cause_of(item, "system", now))


def _seq_of(draft: Draft, ident: str) -> int:
    conversation, seq = split_message_id(ident)
    if conversation != draft.state.id:
        raise Illegal("FOREIGN", "the message belongs to another conversation")
    return seq


def _by_provider_id(draft: Draft, parked: Parked) -> None:
    known = (one for one in reversed(draft.state.book.deliveries) if one.provider_id == parked.provider_id)
    delivery = next(known, None)
    if delivery is not None:
        _raise(draft, delivery.seq, parked.status, parked.error)
    elif parked not in draft.state.book.parked:
        _park(draft, parked)


def _park(draft: Draft, parked: Parked) -> None:
    waiting = (*draft.state.book.parked, parked)
    if len(waiting) > PARKED_LIMIT:
        draft.count("receipt_forgotten")
    draft.book(parked=waiting[-PARKED_LIMIT:])


def _remember(draft: Draft, delivery: Delivery) -> None:
    others = tuple(one for one in draft.state.book.deliveries if one.seq != delivery.seq)
    if len(others) == SENT_LIMIT:
        draft.count("id_forgotten")
    draft.book(deliveries=(*others, delivery)[-SENT_LIMIT:])


def _join_parked(draft: Draft, seq: int, provider_id: str | None) -> None:
    waiting = draft.state.book.parked
    joined = tuple(one for one in waiting if one.provider_id == provider_id)
    if not joined:
        return
    draft.book(parked=tuple(one for one in waiting if one.provider_id != provider_id))
    for one in joined:
        _raise(draft, seq, one.status, one.error)


def _status(draft: Draft, seq: int) -> MessageStatus | None:
    return next((one.status for one in reversed(draft.state.sent) if one.seq == seq), None)


def _raise(draft: Draft, seq: int, reported: Reported, error: str | None) -> None:
    current = _status(draft, seq)
    if current is None:
        draft.count("receipt_unknown")
        return
    status = raised(current, reported)
    if status is not None:
        ident = message_id(draft.state.id, seq)
        draft.event(MessageStatusChanged(message_id=ident, status=status, error=error))
