"""Event histories as routing would publish them, and what the read model must say about them, counted the naive way."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from hypothesis import strategies as st

from services.gateway.arrivals import arrival_of
from services.gateway.core import Arrival
from shared.contracts import events as ev
from shared.contracts.events import TYPE_OF, CloudEvent
from shared.contracts.ids import conversation_id, event_id, message_id
from shared.contracts.resources import Attachment, Author, BotState, Contact, Identity, Message, MessageStatus
from shared.contracts.shape import Shape
from shared.runtime.records import Record

NAMESPACE = UUID(int=7)
_PLACES = ("conversation.opened", "conversation.closed", "conversation.reopened")
MEMBERS = ("grace", "ada", "linus")
Event = CloudEvent
_STATUSES: st.SearchStrategy[MessageStatus] = st.sampled_from(("sent", "delivered", "read"))


def contact_of(external_id: str, workspace: str = "acme", version: int = 1, **known: Any) -> Contact:
    ident = str(uuid5(NAMESPACE, f"{workspace}/{external_id}"))
    identity = Identity(channel_id="c-1", external_id=external_id)
    return Contact(
        id=ident, channel_id="c-1", external_id=external_id, identities=(identity,), version=version, **known
    )


@dataclass
class Writer:
    """Plays routing for one conversation: sequenced events with causes, in the order they would be published."""

    external_id: str = "customer"
    workspace: str = "acme"
    events: list[Event] = field(default_factory=list)
    seq: int = 0
    causes: int = 0
    known: bool = False

    @property
    def contact(self) -> Contact:
        return contact_of(self.external_id, self.workspace)

    @property
    def id(self) -> str:
        return conversation_id(self.contact.id)

    def event(self, data: Shape, seq: int | None, **attributes: Any) -> Event:
        self.causes += 1
        cause = str(uuid5(UUID(self.id), f"cause {self.causes}"))
        ident = event_id(self.id, seq) if seq else cause
        place = {"id": ident, "subject": self.id, "causationid": cause, "actor": "system"}
        event = Event(
            type=TYPE_OF[type(data)],
            source="relaydesk/routing",
            time=f"2026-01-01T00:{self.causes // 60 % 60:02}:{self.causes % 60:02}.000Z",
            workspace=self.workspace,
            seq=seq,
            data=json.loads(data.model_dump_json()),
            **(place | attributes),
        )
        self.events.append(event)
        return event

    def next(self, data: Shape, **attributes: Any) -> Event:
        self.seq += 1
        return self.event(data, self.seq, **attributes)

    def beside(self, data: Shape, **attributes: Any) -> Event:
        return self.event(data, None, **attributes)

    def message(self, author: Author, text: str | None, attachments: Sequence[Attachment] = ()) -> Message:
        """The message of the next event."""
        seq, time = self.seq + 1, "2026-01-01T00:00:00.000Z"
        ours = author.kind != "contact"
        return Message(
            id=message_id(self.id, seq),
            seq=seq,
            conversation_id=self.id,
            author=author,
            text=text,
            attachments=tuple(attachments),
            status="queued" if ours else None,
            external_id=None if ours else f"m-{seq}",
            occurred_at=time,
            accepted_at=time,
            reply_to=None,
        )

    def opened(self, bot: bool = False) -> None:
        self.known = True
        self.next(ev.ContactCreated(contact=self.contact))
        state = BotState(configured=bot, enabled=bot, epoch=1 if bot else 0)
        self.next(ev.ConversationOpened(channel_id="c-1", bot=state))

    def received(self, text: str = "hello", attachments: Sequence[Attachment] = ()) -> Event:
        author = Author(kind="contact", id=self.contact.id, name=None)
        return self.next(ev.MessageWasReceived(message=self.message(author, text, attachments)))

    def sent(self, member: str | None = "grace", text: str = "hi", **attributes: Any) -> Event:
        """By a member, or by the bot where `member` is None."""
        author = Author(kind="agent" if member else "bot", id=member, name=member or "bot")
        return self.next(ev.MessageSent(message=self.message(author, text)), **attributes)

    def noted(self, member: str = "grace") -> Event:
        author = Author(kind="agent", id=member, name=member)
        return self.next(ev.NoteAdded(message=self.message(author, "internal")))

    def assigned(self, assignee: str | None) -> Event:
        return self.next(ev.ConversationAssigned(assignee=assignee, previous=None, by="agent:grace", reason="manual"))

    def erased(self) -> Event:
        self.known = False
        return self.next(ev.ContactErased(contact_id=self.contact.id, by="agent:olivia", reason="request"))

    def read(self, member: str, up_to: int) -> Event:
        return self.beside(ev.ConversationRead(member=member, up_to_seq=up_to))


def record_of(event: Event, offset: int = 0, partition: int = 0) -> Record:
    headers = dict(event.headers())
    return Record("workspace.events", partition, offset, event.workspace.encode(), event.encoded(), headers, 0)


def arrivals(events: Iterable[Event]) -> list[Arrival]:
    return [arrival_of(record_of(event)) for event in events]


def _step(writer: Writer, draw: st.DrawFn) -> None:
    member = draw(st.sampled_from(MEMBERS))
    named = message_id(writer.id, draw(st.integers(1, writer.seq)))
    moved = writer.contact.model_copy(update={"version": writer.seq})
    steps: list[Callable[[], object]] = [
        writer.received,
        writer.received,
        lambda: writer.sent(member),
        lambda: writer.sent(None),
        lambda: writer.noted(member),
        lambda: writer.assigned(draw(st.sampled_from((None, *MEMBERS)))),
        lambda: writer.next(ev.ConversationClosed(by=f"agent:{member}")),
        lambda: writer.next(ev.ConversationReopened(by="contact")),
        lambda: writer.next(ev.BotDisabled(epoch=writer.seq, by="bot", reason="manual")),
        lambda: writer.next(ev.BotDisabled(epoch=writer.seq, by="bot", reason="handoff")),
        lambda: writer.next(ev.BotFailure(epoch=1, reason="TIMEOUT")),
        lambda: writer.next(ev.MessageStatusChanged(message_id=named, status=draw(_STATUSES))),
        lambda: writer.next(ev.ContactUpdated(contact=moved)),
        writer.erased,
        lambda: writer.read(member, draw(st.integers(0, writer.seq + 3))),
    ]
    draw(st.sampled_from(steps))()


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Interleaved histories of a few conversations of two workspaces, each in its own order."""
    writers = [Writer("a"), Writer("b"), Writer("a", "other")]
    log: list[Event] = []
    for writer in draw(st.lists(st.sampled_from(writers), max_size=40)):
        first = len(writer.events)
        if not writer.known:
            writer.opened(bot=draw(st.booleans()))
        else:
            _step(writer, draw)
        log += writer.events[first:]
    return log


@dataclass(frozen=True)
class Told:
    """What a naive reader of the whole history says about one conversation."""

    seq: int
    open: bool
    assignee: str | None
    needs_human: bool
    unread: int


def told(log: Sequence[Event]) -> dict[tuple[str, str], Told]:
    keys = {(event.workspace, event.subject) for event in log}
    return {key: _told([e for e in log if (e.workspace, e.subject) == key]) for key in keys}


def _told(history: Sequence[Event]) -> Told:
    """What was before an erasure counts for nothing but the seq."""
    kinds = [(event.type.removeprefix("relaydesk.").removesuffix(".v1"), event) for event in history]
    erasures = [index for index, (kind, _) in enumerate(kinds) if kind == "contact.erased"]
    kinds = kinds[erasures[-1] + 1 if erasures else 0 :]
    places = [
        kind for kind, _ in kinds if kind.startswith("conversation.") and kind[13:] in ("opened", "closed", "reopened")
    ]
    assigned = [event.data["assignee"] for kind, event in kinds if kind == "conversation.assigned"]
    return Told(
        seq=max(event.seq or 0 for event in history),
        open=bool(places) and places[-1] != "conversation.closed",
        assignee=assigned[-1] if assigned else None,
        needs_human=_needs_human(kinds),
        unread=_unread(kinds),
    )


def _needs_human(kinds: Sequence[tuple[str, Event]]) -> bool:
    for kind, event in reversed(kinds):
        if kind == "bot.failed" or (kind == "bot.disabled" and event.data["reason"] == "handoff"):
            return True
        cleared = kind in ("conversation.closed", "bot.disabled") or (
            (kind == "conversation.assigned" and event.data["assignee"] is not None)
            or (kind == "message.sent" and event.data["message"]["author"]["kind"] == "agent")
        )
        if cleared:
            return False
    return False


def _unread(kinds: Sequence[tuple[str, Event]]) -> int:
    """Messages of the contact after the last agent reply and the highest mark; a mark reaches no further than the end
    that the conversation had when it was set."""
    end = settled = 0
    for kind, event in kinds:
        end = event.seq or end
        if kind == "conversation.read":
            settled = max(settled, min(event.data["up_to_seq"], end))
        elif kind == "message.sent" and event.data["message"]["author"]["kind"] == "agent":
            settled = end
    return sum(kind == "message.received" and (event.seq or 0) > settled for kind, event in kinds)


def archived(log: Sequence[Event]) -> list[Event]:
    """The events that an archive keeps: from each conversation's last erasure on."""
    erased = {(e.workspace, e.subject): e.seq or 0 for e in log if e.type == TYPE_OF[ev.ContactErased]}
    return [e for e in log if e.seq is not None and e.seq >= erased.get((e.workspace, e.subject), 0)]


def counted(log: Sequence[Event]) -> Counter[tuple[str, str | None, str]]:
    """(workspace, member or None, counter) -> count; nothing where it is 0."""
    counters: Counter[tuple[str, str | None, str]] = Counter()
    for (workspace, _), state in told(log).items():
        if state.open:
            counters[workspace, None, "open"] += 1
            counters[workspace, state.assignee, "open" if state.assignee else "unassigned"] += 1
            counters[workspace, None, "unread"] += state.unread > 0
            counters[workspace, None, "needs_human"] += state.needs_human
    return +counters
