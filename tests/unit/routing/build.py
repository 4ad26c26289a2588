"""Inputs for tests, valid by default: one customer of one channel, two agents, a bot."""

from typing import Any
from uuid import UUID, uuid5

from services.routing.core import NOTHING_KNOWN, Decision, Known, State, decide
from shared.contracts import ids
from shared.contracts.commands import (
    Actor,
    AddNote,
    Assign,
    BotFailed,
    BotReply,
    BotText,
    Close,
    Command,
    DisableBot,
    EnableBot,
    EraseContact,
    Reopen,
    SendReply,
    SentAttachment,
    UpdateContact,
)
from shared.contracts.events import TYPE_OF
from shared.contracts.inbound import (
    ContactSeen,
    DeliveryReported,
    Inbound,
    InboundAttachment,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    ReceiptReceived,
    Sender,
)
from shared.contracts.resources import Contact

NAMESPACE = UUID("00000000-0000-4000-8000-000000000001")
WORKSPACE, CHANNEL = "acme", "channel-1"
NOW = "2026-11-23T09:30:00.125Z"
LATER = "2026-11-24T09:30:00.126Z"
GRACE = Actor(kind="agent", id="grace", name="Grace Hopper")
ALAN = Actor(kind="agent", id="alan", name="Alan Turing")
OLIVIA = Actor(kind="agent", id="olivia", name="Olivia Owen")
BOT = Actor(kind="bot", id=None, name="bot")
SYSTEM = Actor(kind="system", id=None, name=None)


def contact_id(customer: str = "ada") -> str:
    return ids.contact_id(NAMESPACE, WORKSPACE, CHANNEL, customer)


def conversation_id(customer: str = "ada") -> str:
    return ids.conversation_id(contact_id(customer))


CONVERSATION = conversation_id()


def ident(*parts: str | int) -> str:
    return str(uuid5(NAMESPACE, ids.canonical(*parts)))


def _inbound(customer: str, fields: dict[str, Any], *name: str | int) -> dict[str, Any]:
    common = {
        "id": ident(customer, *name),
        "workspace": WORKSPACE,
        "channel_id": CHANNEL,
        "channel_kind": "webhook",
        "bot_kind": None,
        "conversation_id": conversation_id(customer),
        "accepted_at": NOW,
    }
    return common | fields


def message(
    external: str = "m1", customer: str = "ada", sender: dict[str, Any] | None = None, **fields: Any
) -> MessageReceived:
    about = {
        "contact_id": contact_id(customer),
        "sender": Sender(id=customer, **(sender or {})),
        "external_id": external,
        "occurred_at": NOW,
        "text": f"text of {external}",
    }
    return MessageReceived(**_inbound(customer, about | fields, "message", external))


def seen(name: str = "s1", customer: str = "ada", sender: dict[str, Any] | None = None, **fields: Any) -> ContactSeen:
    about = {"contact_id": contact_id(customer), "sender": Sender(id=customer, **(sender or {}))}
    return ContactSeen(**_inbound(customer, about | fields, "seen", name))


def edited(
    name: str, external: str, text: str | None = "better", customer: str = "ada", **fields: Any
) -> MessageEdited:
    about = {"contact_id": contact_id(customer), "external_id": external, "text": text}
    return MessageEdited(**_inbound(customer, about | fields, "edit", name))


def deleted(name: str, external: str, customer: str = "ada", **fields: Any) -> MessageDeleted:
    about = {"contact_id": contact_id(customer), "external_id": external}
    return MessageDeleted(**_inbound(customer, about | fields, "delete", name))


def receipt(name: str, status: str, seq: int | None = None, customer: str = "ada", **fields: Any) -> ReceiptReceived:
    """By our id where `seq` is given, else name `provider_message_id`."""
    our = None if seq is None else ids.message_id(conversation_id(customer), seq)
    about = {"message_id": our, "status": status, "occurred_at": NOW}
    return ReceiptReceived(**_inbound(customer, about | fields, "receipt", name))


def delivery(seq: int, status: str, attempt: int = 1, customer: str = "ada", **fields: Any) -> DeliveryReported:
    about = {
        "message_id": ids.message_id(conversation_id(customer), seq),
        "attempt": attempt,
        "status": status,
    }
    return DeliveryReported(**_inbound(customer, about | fields, "delivery", seq, attempt))


def _command(name: str, customer: str, actor: Actor) -> dict[str, Any]:
    return {
        "id": ident(customer, "command", name),
        "workspace": WORKSPACE,
        "conversation_id": conversation_id(customer),
        "actor": actor,
        "accepted_at": NOW,
    }


def reply(name: str = "r1", actor: Actor = GRACE, customer: str = "ada", **fields: Any) -> SendReply:
    return SendReply(**_command(name, customer, actor) | {"text": f"reply {name}"} | fields)


def note(name: str = "n1", actor: Actor = GRACE, customer: str = "ada", text: str = "internal") -> AddNote:
    return AddNote(**_command(name, customer, actor), text=text)


def assign(
    name: str, assignee: str | None, expected: int | None = None, actor: Actor = GRACE, customer: str = "ada"
) -> Assign:
    return Assign(**_command(name, customer, actor), assignee=assignee, expected_version=expected)


def close(name: str = "c1", actor: Actor = GRACE, customer: str = "ada", **fields: Any) -> Close:
    return Close(**_command(name, customer, actor) | fields)


def reopen(name: str = "o1", actor: Actor = GRACE, customer: str = "ada") -> Reopen:
    return Reopen(**_command(name, customer, actor))


def disable(name: str = "d1", actor: Actor = GRACE, customer: str = "ada") -> DisableBot:
    return DisableBot(**_command(name, customer, actor))


def enable(name: str = "e1", bot_kind: str | None = "webhook", customer: str = "ada") -> EnableBot:
    return EnableBot(**_command(name, customer, GRACE), bot_kind=bot_kind)


def update(name: str, fields: dict[Any, str | None], actor: Actor = GRACE, customer: str = "ada") -> UpdateContact:
    return UpdateContact(**_command(name, customer, actor), fields=fields)


def erase(name: str = "x1", actor: Actor = OLIVIA, customer: str = "ada", expected: int | None = None) -> EraseContact:
    return EraseContact(**_command(name, customer, actor), reason="request", expected_seq=expected)


def bot_reply(name: str, epoch: int, *texts: str, handoff: bool = False, customer: str = "ada") -> BotReply:
    return BotReply(
        **_command(name, customer, BOT),
        request_message_id=ids.message_id(conversation_id(customer), 3),
        epoch=epoch,
        replies=tuple(BotText(text=text) for text in texts),
        handoff=handoff,
    )


def bot_failed(name: str, epoch: int, customer: str = "ada") -> BotFailed:
    asked = ids.message_id(conversation_id(customer), 3)
    return BotFailed(**_command(name, customer, BOT), request_message_id=asked, epoch=epoch, reason="TIMEOUT")


def incoming_file(name: str) -> InboundAttachment:
    return InboundAttachment(media_id=ident("media", name), kind="image", url=f"https://files.example.org/{name}")


def file(name: str) -> SentAttachment:
    objects = {"original": f"acme/{name}"}
    return SentAttachment(media_id=ident("media", name), kind="file", filename=name, status="ready", objects=objects)


def kinds(decision: Decision) -> list[str]:
    """`message.sent` for each event, in order."""
    return [TYPE_OF[type(one.data)].removeprefix("relaydesk.").removesuffix(".v1") for one in decision.events]


def effects(decision: Decision) -> list[str]:
    return [type(one).__name__ for one in decision.effects]


def rejection(decision: Decision) -> str:
    """The code of the only event, a refusal or an acceptance without change."""
    (event,) = decision.events
    return str(getattr(event.data, "code", None))


def after(*items: Inbound | Command, state: State | None = None) -> State:
    """The state after these inputs."""
    for item in items:
        state = decide(state, item, NOW).state
    assert state is not None
    return state


def contact_of(state: State | None) -> Contact:
    assert state is not None
    assert state.contact is not None
    return state.contact


def tell(state: State | None, item: Inbound | Command, known: Known = NOTHING_KNOWN) -> Decision:
    return decide(state, item, NOW, known)
