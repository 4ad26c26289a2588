"""What the core decided -> records for Kafka: envelopes, topics, keys, headers. Pure; knows no order and no state."""

from typing import assert_never

from services.routing.core import ContactTombstone, Effect, Event
from shared.contracts import wire
from shared.contracts.events import TYPE_OF, CloudEvent
from shared.contracts.ids import document_key, event_id, outcome_event_id
from shared.contracts.outbound import (
    BotFence,
    BotRequest,
    ContactRecord,
    DeliverMessage,
    EraseConversation,
    FetchMedia,
    MediaReferenced,
)
from shared.contracts.topics import BOT_REQUESTS, CHANNEL_OUTBOUND, CONTACTS, MEDIA_JOBS, WORKSPACE_EVENTS
from shared.runtime.records import Outgoing

SOURCE = "relaydesk/routing"
FENCE = ("type", BotFence.__name__.encode())
ERASURE = ("type", EraseConversation.__name__.encode())
FETCH = ("type", FetchMedia.__name__.encode())


Addressed = DeliverMessage | BotFence | BotRequest | FetchMedia | MediaReferenced | ContactRecord | EraseConversation


def of_event(event: Event) -> Outgoing:
    """The id follows from what the event is about, so the same event always has the same."""
    kind = TYPE_OF[type(event.data)]
    about = event.conversation_id
    envelope = CloudEvent(
        id=outcome_event_id(event.causationid, _short(kind)) if event.seq is None else event_id(about, event.seq),
        type=kind,
        source=SOURCE,
        subject=about,
        time=event.time,
        workspace=event.workspace,
        seq=event.seq,
        causationid=event.causationid,
        actor=event.actor,
        final=event.final or None,
        audience=event.audience,
        data=event.data.model_dump(),
    )
    return Outgoing(WORKSPACE_EVENTS, event.workspace, envelope.encoded(), envelope.headers())


def of_effect(effect: Effect) -> list[Outgoing]:
    if isinstance(effect, ContactTombstone):
        return [Outgoing(CONTACTS, document_key(effect.workspace, effect.contact_id), None)]
    headers = (("type", effect.type.encode()),)
    return [Outgoing(topic, key, wire.encode(effect), headers) for topic, key in _addresses(effect)]


def is_fence(record: Outgoing) -> bool:
    """Whether it must be known on `channel.outbound` before anything else is: a bot's silence, an erasure."""
    return record.topic == CHANNEL_OUTBOUND and (FENCE in record.headers or ERASURE in record.headers)


def is_fetch(record: Outgoing) -> bool:
    return record.topic == MEDIA_JOBS and FETCH in record.headers


def _short(kind: str) -> str:
    """`relaydesk.command.rejected.v1` -> `command.rejected`"""
    return kind.removeprefix("relaydesk.").rsplit(".", 1)[0]


def _addresses(effect: Addressed) -> list[tuple[str, str]]:
    """Topic and key of each record that it takes."""
    of_conversation = document_key(effect.workspace, effect.conversation_id)
    match effect:
        case DeliverMessage() | BotFence():
            return [(CHANNEL_OUTBOUND, of_conversation)]
        case BotRequest():
            return [(BOT_REQUESTS, of_conversation)]
        case FetchMedia():
            return [(MEDIA_JOBS, effect.attachment.media_id)]
        case MediaReferenced():
            return [(MEDIA_JOBS, effect.media_id)]
        case ContactRecord():
            return [(CONTACTS, document_key(effect.workspace, effect.contact.id))]
        case EraseConversation():
            lanes = [(topic, of_conversation) for topic in (CHANNEL_OUTBOUND, BOT_REQUESTS)]
            return [*lanes, (MEDIA_JOBS, effect.conversation_id)]
        case _:
            assert_never(effect)
