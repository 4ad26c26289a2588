"""Deliveries, channels and clocks as tests need them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.dispatch.core.bot import Request
from services.dispatch.core.channel import BotAddress, Channel
from services.dispatch.core.delivery import Claim, Delivery
from services.dispatch.core.plan import Rules, Sight
from shared.contracts.commands import SentAttachment
from shared.contracts.ids import message_id
from shared.contracts.outbound import BotRequest, DeliverMessage, EraseConversation
from shared.contracts.resources import Author, Contact, Identity, Message
from shared.contracts.times import to_timestamp

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
CONVERSATION = "36865d94-dda1-53bd-b0bb-463852e73269"
OTHER_CONVERSATION = "46865d94-dda1-53bd-b0bb-463852e73269"
CHANNEL = "3c1d2b0a-9e4f-4f7b-8a5d-1c2e3f405162"
SECRET = "whsec_" + "QUFB" * 8
AGENT = Author(kind="agent", id="grace", name="Grace Hopper")
BOT = Author(kind="bot", id=None, name="bot")
PHONE = "4477009001"
FILE = SentAttachment(
    media_id="5d1c2e3f-9e4f-4f7b-8a5d-1c2e3f405162",
    kind="file",
    content_type="application/pdf",
    filename="diagnosis.pdf",
    size=3,
    status="ready",
    objects={"original": "acme/0f5e"},
)
PERSONAL = (PHONE, "message 7", "question", "diagnosis", "acme/0f5e", "Grace", "grace", "Ada", "wamid", "says:")
"""What tests put into what is kept, and must not find there after an erasure."""


class SteppingClock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    def move(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def move_to(self, moment: datetime) -> None:
        self._now = max(self._now, moment)


def message(seq: int = 7, **changes: Any) -> DeliverMessage:
    conversation = changes.get("conversation_id", CONVERSATION)
    given: dict[str, Any] = {
        "workspace": "acme",
        "channel_id": CHANNEL,
        "channel_kind": "webhook",
        "conversation_id": conversation,
        "message_id": message_id(conversation, seq),
        "seq": seq,
        "to": PHONE,
        "text": f"message {seq}",
        "author": AGENT,
        "bot_epoch": None,
        "queued_at": to_timestamp(NOW),
    }
    return DeliverMessage(**(given | changes))


def personal(seq: int = 7, **changes: Any) -> DeliverMessage:
    return message(seq, text="message 7", attachments=(FILE,), **changes)


def erase(up_to_seq: int, conversation: str = CONVERSATION) -> EraseConversation:
    return EraseConversation(workspace="acme", conversation_id=conversation, up_to_seq=up_to_seq)


def bot_message(seq: int = 7, epoch: int = 0, **changes: Any) -> DeliverMessage:
    return message(seq, author=BOT, bot_epoch=epoch, **changes)


def delivery(record: DeliverMessage | None = None, **changes: Any) -> Delivery:
    given: dict[str, Any] = {"partition": 3, "inserted_at": NOW, "next_at": NOW}
    return Delivery(record or message(), **(given | changes))


def claim(seconds: float = 15, owner: str = "me") -> Claim:
    return Claim(owner, NOW + timedelta(seconds=seconds))


def sight(**changes: Any) -> Sight:
    given: dict[str, Any] = {"now": NOW, "claim": claim(), "rules": Rules()}
    return Sight(**(given | changes))


def channel(**changes: Any) -> Channel:
    given: dict[str, Any] = {
        "id": CHANNEL,
        "workspace": "acme",
        "kind": "webhook",
        "settings": {"outbound_url": "http://adapter.test/in"},
        "bot": BotAddress("webhook", {"url": "http://bot.test/"}),
        "version": 1,
        "secret": SECRET,
    }
    return Channel(**(given | changes))


def request(seq: int = 3, epoch: int = 0, requested_at: datetime = NOW, conversation: str = CONVERSATION) -> Request:
    contact = Contact(
        id="fc02c6e7-2ce2-5d74-874d-a16185733b3c",
        channel_id=CHANNEL,
        external_id=PHONE,
        identities=(Identity(channel_id=CHANNEL, external_id=PHONE),),
        name="Ada",
        version=1,
    )
    asked = Message(
        id=message_id(conversation, seq),
        seq=seq,
        conversation_id=conversation,
        author=Author(kind="contact", id=contact.id, name="Ada"),
        text=f"question {seq}",
        status=None,
        external_id=f"m-{seq}",
        occurred_at=to_timestamp(requested_at),
        accepted_at=to_timestamp(requested_at),
        reply_to=None,
    )
    record = BotRequest(
        workspace="acme",
        channel_id=CHANNEL,
        conversation_id=conversation,
        bot_kind="webhook",
        epoch=epoch,
        message=asked,
        contact=contact,
        requested_at=to_timestamp(requested_at),
    )
    return Request(record, 3)
