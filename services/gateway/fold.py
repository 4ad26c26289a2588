"""A batch of events folded into what has to be written: conversations, archive rows, patches, counters, outcomes.

Pure, like `core`, whose rules it applies: a batch and what the store knows of it (`Known`) go in, `Changes` come out;
an illegal batch raises and nothing of it is to be written. Must not know Kafka, MongoDB or HTTP.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.gateway.core import (
    Arrival,
    ConversationState,
    CounterName,
    CounterOf,
    Outcome,
    contributions,
    evolved,
    outcome_of,
)
from services.gateway.words import words_of
from shared.contracts import events as ev
from shared.contracts.events import CloudEvent
from shared.contracts.ids import document_key, split_message_id
from shared.contracts.resources import Attachment, Message, MessageStatus
from shared.contracts.shape import Shape

RowId = tuple[str, int]
"""An archive row: (document key of the conversation, seq)."""


class Hole(Exception):
    """An event came whose predecessor is not there: it must not be skipped."""


class Divergence(Exception):
    """Two different events claim the same (conversation, seq): a restored backup, or a bug (DESIGN 3.9)."""


@dataclass(frozen=True, slots=True)
class Row:
    """An archived event; `received` = messages of the contact up to and including this seq."""

    workspace: str
    conversation_id: str
    seq: int
    causation_id: str
    received: int
    event: Mapping[str, Any]

    @property
    def id(self) -> RowId:
        return document_key(self.workspace, self.conversation_id), self.seq


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What the fold asks of a row that is archived already."""

    causation_id: str
    received: int


@dataclass(frozen=True, slots=True)
class StatusPatch:
    """The current status of the message in an archived row."""

    row: RowId
    status: MessageStatus


@dataclass(frozen=True, slots=True)
class AttachmentPatch:
    """The current state of an attachment in an archived row; `attachment` None: it was rejected."""

    row: RowId
    media_id: str
    attachment: Attachment | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the store has for a batch: its conversations, and the rows named by `rows_needed`."""

    conversations: Mapping[str, ConversationState] = field(default_factory=dict)
    rows: Mapping[RowId, RowFacts] = field(default_factory=dict)


@dataclass(slots=True)
class Changes:
    """What a batch changes. `before`: the seq that each changed conversation has in the store (0: not there).
    `words`: by what a message is found from now on, none = by nothing; under seq 0 the contact's names.
    `erased`: the conversations of which nothing before this seq stays, to be done before anything else is added.

    To be counted: `repeats` of a redelivery, `unplaced` marks and media of nothing that is here, types not known.
    """

    conversations: dict[str, ConversationState] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)
    rows: dict[RowId, Row] = field(default_factory=dict)
    patches: list[StatusPatch | AttachmentPatch] = field(default_factory=list)
    counters: dict[CounterOf, Counter[CounterName]] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    words: dict[RowId, list[str]] = field(default_factory=dict)
    erased: dict[str, int] = field(default_factory=dict)
    repeats: int = 0
    unplaced: int = 0
    unknown_types: Counter[str] = field(default_factory=Counter)


def conversations_needed(arrivals: Iterable[Arrival]) -> set[str]:
    """Document keys of the conversations that a batch touches."""
    return {key for arrival in arrivals if (key := touched(arrival)) is not None}


def touched(arrival: Arrival) -> str | None:
    """Document key of the conversation that an event changes; None where it changes none."""
    match arrival.data:
        case ev.MediaReady(message_id=str(ident)) | ev.MediaRejected(message_id=str(ident)):
            return _row_of(arrival.event, ident)[0]
        case ev.ConversationRead():
            return arrival.key
    return arrival.key if arrival.event.seq is not None else None


def rows_needed(arrivals: Iterable[Arrival], conversations: Mapping[str, ConversationState]) -> set[RowId]:
    """Rows to load before the fold: of repeats, to compare; of read marks, to count what is unread. Also of a mark at
    the end: when its turn comes, the batch may have moved the end."""
    needed: set[RowId] = set()
    for arrival in arrivals:
        state, seq = conversations.get(arrival.key), arrival.event.seq
        if state is None:
            continue
        if seq is not None and seq <= state.seq:
            needed.add((arrival.key, seq))
        elif isinstance(arrival.data, ev.ConversationRead) and 0 < arrival.data.up_to_seq <= state.seq:
            needed.add((arrival.key, arrival.data.up_to_seq))
    return needed


def fold(arrivals: Sequence[Arrival], known: Known) -> Changes:
    """The batch's changes, in the order of its events. Hole or Divergence: nothing of the batch may be written."""
    folding = _Fold(known)
    for arrival in arrivals:
        folding.take(arrival)
    return folding.counted()


class _Fold:
    def __init__(self, known: Known) -> None:
        self._known = known
        self._changes = Changes()

    def take(self, arrival: Arrival) -> None:
        if arrival.data is None:
            self._changes.unknown_types[arrival.event.type] += 1
        if arrival.event.seq is None:
            self._take_unsequenced(arrival)
        elif not self._take_sequenced(arrival, (arrival.key, arrival.event.seq)):
            self._changes.repeats += 1
            return
        if (outcome := outcome_of(arrival)) is not None:
            self._changes.outcomes.setdefault(outcome.command_id, outcome)

    def counted(self) -> Changes:
        for key, after in self._changes.conversations.items():
            _count(self._known.conversations.get(key), after, self._changes.counters)
        return self._changes

    def _take_sequenced(self, arrival: Arrival, row: RowId) -> bool:
        """False for a repeat."""
        event = arrival.event
        state = self._state(arrival.key) or _unknown(arrival, row[1])
        if row[1] <= state.seq:
            self._check_repeat(event, row)
            return False
        if row[1] != state.seq + 1:
            raise Hole(f"conversation {event.subject}: seq {row[1]} came where {state.seq + 1} was due")
        after = evolved(state, arrival)
        self._put(after)
        archived = Row(event.workspace, event.subject, row[1], event.causationid, after.received, arrival.raw)
        if isinstance(arrival.data, ev.ContactErased):
            self._erase(row)
        self._changes.rows[row] = archived
        self._take_words(arrival.data, row)
        if isinstance(arrival.data, ev.MessageStatusChanged):
            self._patch(StatusPatch(_row_of(event, arrival.data.message_id), arrival.data.status))
        return True

    def _erase(self, row: RowId) -> None:
        """Of this batch, and of what is stored."""
        changes, key = self._changes, row[0]
        changes.rows = {ident: one for ident, one in changes.rows.items() if ident[0] != key}
        changes.words = {ident: words for ident, words in changes.words.items() if ident[0] != key}
        changes.patches = [patch for patch in changes.patches if patch.row[0] != key]
        changes.erased[key] = row[1]

    def _take_words(self, data: Shape | None, row: RowId) -> None:
        match data:
            case ev.ContactCreated(contact=contact) | ev.ContactUpdated(contact=contact):
                self._found_by((row[0], 0), contact.name, contact.first_name, contact.last_name)
            case (
                ev.MessageWasReceived(message=message) | ev.MessageSent(message=message) | ev.NoteAdded(message=message)
            ):
                self._found_by(row, message.text)
            case ev.MessageWasEdited(message_id=ident, text=text):
                self._found_by((row[0], split_message_id(ident)[1]), text)
            case ev.MessageWasDeleted(message_id=ident):
                self._found_by((row[0], split_message_id(ident)[1]))

    def _found_by(self, row: RowId, *texts: str | None) -> None:
        self._changes.words[row] = words_of(texts)

    def _check_repeat(self, event: CloudEvent, row: RowId) -> None:
        kept = self._row(row)
        if kept is not None and kept.causation_id != event.causationid:
            raise Divergence(f"conversation {event.subject}: seq {row[1]} has two causes")

    def _take_unsequenced(self, arrival: Arrival) -> None:
        match arrival.data:
            case ev.ConversationRead(up_to_seq=up_to):
                self._mark_read(self._state(arrival.key), up_to)
            case ev.MediaReady(message_id=str(ident), attachment=attachment, media_id=media):
                self._take_attachment(AttachmentPatch(_row_of(arrival.event, ident), media, attachment))
            case ev.MediaRejected(message_id=str(ident), media_id=media):
                self._take_attachment(AttachmentPatch(_row_of(arrival.event, ident), media, None))
            case _:  # outcomes are the caller's; members, files, snippets and drafts have no place in the read model
                pass

    def _mark_read(self, state: ConversationState | None, up_to: int) -> None:
        """A mark beyond the end counts as one at the end: nobody has read what has not been written."""
        if state is None:
            self._changes.unplaced += 1
            return
        up_to = min(up_to, state.seq)
        if up_to <= state.erased_seq:
            self._changes.unplaced += 1
            return
        kept = self._row((state.key, up_to))
        settled = state.received if up_to == state.seq else kept.received if kept else 0
        marked = replace(state, settled=max(state.settled, settled), read_up_to=max(state.read_up_to, up_to))
        self._put(marked)

    def _take_attachment(self, patch: AttachmentPatch) -> None:
        key, seq = patch.row
        state = self._state(key)
        if state is None or not state.erased_seq < seq <= state.seq:
            self._changes.unplaced += 1
            return
        self._patch(patch)
        last = state.last_message
        if last is not None and last.seq == seq:
            self._put(replace(state, last_message=_with_attachment(last, patch)))

    def _patch(self, patch: StatusPatch | AttachmentPatch) -> None:
        self._changes.patches.append(patch)

    def _row(self, row: RowId) -> Row | RowFacts | None:
        return self._changes.rows.get(row) or self._known.rows.get(row)

    def _state(self, key: str) -> ConversationState | None:
        return self._changes.conversations.get(key) or self._known.conversations.get(key)

    def _put(self, state: ConversationState) -> None:
        stored = self._known.conversations.get(state.key)
        self._changes.before[state.key] = stored.seq if stored else 0
        self._changes.conversations[state.key] = state


def _unknown(arrival: Arrival, seq: int) -> ConversationState:
    """The conversation before its first event here. An archive may begin with an erasure: what was before is gone."""
    before = seq - 1 if isinstance(arrival.data, ev.ContactErased) else 0
    return ConversationState(arrival.event.workspace, arrival.event.subject, before)


def _row_of(event: CloudEvent, message: str) -> RowId:
    """The archive row of a message id; within the event's own workspace, whatever the id says."""
    conversation, seq = split_message_id(message)
    return document_key(event.workspace, conversation), seq


def _with_attachment(message: Message, patch: AttachmentPatch) -> Message:
    def current(old: Attachment) -> Attachment:
        if old.media_id != patch.media_id:
            return old
        return patch.attachment or old.model_copy(update={"status": "rejected"})

    return message.model_copy(update={"attachments": tuple(current(old) for old in message.attachments)})


def _count(
    before: ConversationState | None, after: ConversationState, counters: dict[CounterOf, Counter[CounterName]]
) -> None:
    gained, lost = contributions(after), contributions(before)
    for whose, name in gained:
        counters.setdefault(whose, Counter())[name] += 1
    for whose, name in lost:
        counters.setdefault(whose, Counter())[name] -= 1
