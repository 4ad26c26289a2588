import json
from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.fold import Divergence, Hole
from shared.contracts import events as ev
from shared.contracts.ids import document_key, message_id
from shared.contracts.resources import Attachment
from tests.unit.gateway.histories import Event, Writer, arrivals, counted, histories, told
from tests.unit.gateway.read_model import ReadModel

CUTS = st.lists(st.integers(1, 7), max_size=20)


def batches(log: Sequence[Event], cuts: Sequence[int]) -> Iterator[Sequence[Event]]:
    """The log in pieces whose sizes are `cuts`, the rest in one."""
    at = 0
    for size in cuts:
        yield log[at : at + size]
        at += size
    yield log[at:]


def told_by(model: ReadModel) -> dict[tuple[str, str], tuple[object, ...]]:
    return {
        (s.workspace, s.id): (s.seq, s.status == "open", s.assignee, s.needs_human, s.unread)
        for s in model.conversations.values()
    }


@given(histories(), CUTS)
def test_what_is_maintained_equals_what_is_counted_over_the_whole_history(log: list[Event], cuts: list[int]) -> None:
    model = ReadModel()
    for batch in batches(log, cuts):
        model.apply(arrivals(batch))
    assert told_by(model) == {key: (t.seq, t.open, t.assignee, t.needs_human, t.unread) for key, t in told(log).items()}
    assert +model.counters == counted(log)
    assert min(model.counters.values(), default=0) >= 0


@given(histories(), CUTS)
def test_rebuilding_from_the_archive_gives_the_same_conversations(log: list[Event], cuts: list[int]) -> None:
    model, rebuilt = ReadModel(), ReadModel()
    for batch in batches(log, cuts):
        model.apply(arrivals(batch))
    kept = [Event.model_validate(dict(row.event)) for _, row in sorted(model.rows.items())]
    marks = [event for event in log if event.seq is None]
    rebuilt.apply(arrivals(kept))
    assert rebuilt.rows == model.rows
    assert rebuilt.statuses == model.statuses
    if not marks:  # a mark counts as of when it was set, and marks are kept beside the archive
        assert rebuilt.conversations == model.conversations
        assert +rebuilt.counters == +model.counters


@given(histories(), st.data())
def test_events_published_again_change_nothing(log: list[Event], data: st.DataObject) -> None:
    """Routing publishes a conversation's tail again after a crash: repeats come behind newer events."""
    model, disturbed = ReadModel(), ReadModel()
    model.apply(arrivals(log))
    cuts = data.draw(CUTS)
    sequenced = [event for event in log if event.seq is not None]
    again: list[Event] = []
    for index, event in enumerate(log):
        again.append(event)
        repeats: bool = data.draw(st.booleans())
        if sequenced and repeats:
            earlier = [e for e in log[: index + 1] if e.seq is not None and e.subject == event.subject]
            again += earlier[data.draw(st.integers(0, len(earlier))) :]
    for batch in batches(again, cuts):
        disturbed.apply(arrivals(batch))
    assert disturbed.rows == model.rows
    assert disturbed.conversations == model.conversations
    assert disturbed.counters == model.counters


def test_a_mark_at_the_stored_end_counts_where_the_batch_moved_the_end_before_it() -> None:
    writer, model = Writer(), ReadModel()
    writer.opened()
    writer.received()
    model.apply(arrivals(writer.events))
    model.apply(arrivals([writer.received(), writer.read("grace", 3)]))
    [state] = model.conversations.values()
    assert (state.unread, state.read_up_to) == (1, 3)


@pytest.mark.parametrize("stored", [True, False], ids=["across batches", "within a batch"])
def test_a_hole_is_not_skipped(stored: bool) -> None:
    writer, model = Writer(), ReadModel()
    writer.opened()
    writer.received()
    writer.received()
    first, gap = writer.events[:2], writer.events[3]
    if stored:
        model.apply(arrivals(first))
        first = []
    with pytest.raises(Hole):
        model.apply(arrivals([*first, gap]))
    assert all(state.seq == 2 for state in model.conversations.values())


def test_a_conversation_does_not_begin_in_the_middle() -> None:
    writer = Writer()
    writer.opened()
    with pytest.raises(Hole):
        ReadModel().apply(arrivals(writer.events[1:]))


@pytest.mark.parametrize("stored", [True, False], ids=["across batches", "within a batch"])
def test_the_same_seq_with_another_cause_is_a_divergence(stored: bool) -> None:
    writer, model = Writer(), ReadModel()
    writer.opened()
    other = writer.events[1].model_copy(update={"causationid": str(uuid4())})
    first = list(writer.events)
    if stored:
        model.apply(arrivals(first))
        first = []
    with pytest.raises(Divergence):
        model.apply(arrivals([*first, other]))


def test_an_event_of_an_unknown_type_is_archived_counted_and_keeps_its_seq() -> None:
    writer, model = Writer(), ReadModel()
    writer.opened()
    newer = writer.received().model_copy(update={"type": "relaydesk.message.pinned.v1"})
    changes = model.apply(arrivals([*writer.events[:2], newer]))
    assert changes.unknown_types == {"relaydesk.message.pinned.v1": 1}
    assert model.conversations[document_key("acme", writer.id)].seq == 3
    assert len(model.rows) == 3


def test_the_archive_keeps_the_event_as_it_stood_on_the_stream() -> None:
    writer, model = Writer(), ReadModel()
    writer.opened()
    model.apply(arrivals(writer.events))
    key = document_key("acme", writer.id)
    assert model.rows[key, 1].event == json.loads(writer.events[0].encoded())


def test_a_reply_settles_and_a_mark_counts_only_what_came_before_it() -> None:
    writer, model = Writer(), ReadModel()
    writer.opened()
    for _ in range(4):
        writer.received()
        writer.noted()
    key = document_key("acme", writer.id)
    model.apply(arrivals(writer.events))
    assert model.conversations[key].unread == 4
    model.apply(arrivals([writer.read("grace", 5)]))
    assert model.conversations[key].unread == 2
    model.apply(arrivals([writer.read("ada", 3)]))
    assert model.conversations[key].unread == 2
    model.apply(arrivals([writer.sent("grace")]))
    assert model.conversations[key].unread == 0


def test_a_mark_beyond_the_end_reaches_the_end_and_does_not_silence_what_comes_later() -> None:
    writer, model = Writer(), ReadModel()
    writer.opened()
    writer.received()
    writer.read("grace", 10_000)
    model.apply(arrivals(writer.events))
    assert model.conversations[document_key("acme", writer.id)].unread == 0
    model.apply(arrivals([writer.received()]))
    assert model.conversations[document_key("acme", writer.id)].unread == 1


def _asked_for_a_human(writer: Writer) -> None:
    writer.opened(bot=True)
    writer.received()
    writer.next(ev.BotDisabled(epoch=2, by="bot", reason="handoff"))


@pytest.mark.parametrize(
    ("then", "needed"),
    [
        (lambda w: w.received(), True),
        (lambda w: w.sent(None), True),
        (lambda w: w.noted(), True),
        (lambda w: w.assigned(None), True),
        (lambda w: w.next(ev.BotEnabled(epoch=3, by="agent:ada", reason="manual")), True),
        (lambda w: w.sent("grace"), False),
        (lambda w: w.assigned("grace"), False),
        (lambda w: w.next(ev.ConversationClosed(by="agent:ada")), False),
        (lambda w: w.next(ev.BotDisabled(epoch=3, by="agent:ada", reason="manual")), False),
    ],
    ids=["message", "bot", "note", "assigned to nobody", "bot on", "reply", "assigned", "closed", "bot off"],
)
def test_a_human_is_needed_until_one_cares(then: Callable[[Writer], object], needed: bool) -> None:
    writer, model = Writer(), ReadModel()
    _asked_for_a_human(writer)
    then(writer)
    model.apply(arrivals(writer.events))
    assert model.conversations[document_key("acme", writer.id)].needs_human is needed


def test_the_last_message_follows_edits_deletions_and_status() -> None:
    writer, model = Writer(), ReadModel()
    writer.opened()
    writer.sent("grace", "hi")
    ident = message_id(writer.id, 3)
    writer.noted()
    writer.next(ev.MessageStatusChanged(message_id=ident, status="delivered"))
    writer.next(ev.MessageWasEdited(message_id=ident, text="hi!"))
    model.apply(arrivals(writer.events))
    last = model.conversations[document_key("acme", writer.id)].last_message
    assert last is not None and (last.text, last.status) == ("hi!", "delivered")
    assert model.statuses == {(document_key("acme", writer.id), 3): "delivered"}
    model.apply(arrivals([writer.next(ev.MessageWasDeleted(message_id=ident))]))
    last = model.conversations[document_key("acme", writer.id)].last_message
    assert last is not None and last.text is None


def test_a_delivery_report_is_no_activity() -> None:
    writer, model = Writer(), ReadModel()
    writer.opened()
    sent = writer.sent("grace")
    writer.next(ev.MessageStatusChanged(message_id=message_id(writer.id, 3), status="read"))
    model.apply(arrivals(writer.events))
    state = model.conversations[document_key("acme", writer.id)]
    assert (state.seq, state.updated_at) == (4, sent.time)


def test_media_that_become_ready_replace_their_attachment() -> None:
    media, writer, model = str(uuid4()), Writer(), ReadModel()
    writer.opened()
    pending = Attachment(media_id=media, kind="image", status="pending")
    writer.received("look", [pending])
    ready = pending.model_copy(update={"status": "ready", "size": 7})
    ident = message_id(writer.id, 3)
    done = ev.MediaReady(media_id=media, conversation_id=writer.id, message_id=ident, attachment=ready)
    writer.beside(done, subject=media)
    changes = model.apply(arrivals(writer.events))
    last = model.conversations[document_key("acme", writer.id)].last_message
    assert last is not None and last.attachments == (ready,)
    assert [patch.row for patch in changes.patches] == [(document_key("acme", writer.id), 3)]


def test_media_and_marks_of_another_workspace_touch_nothing() -> None:
    media, writer, foreign, model = str(uuid4()), Writer(), Writer(workspace="other"), ReadModel()
    writer.opened()
    writer.received("look", [Attachment(media_id=media, kind="image", status="pending")])
    model.apply(arrivals(writer.events))
    before = dict(model.conversations)
    ready = Attachment(media_id=media, kind="image", status="ready")
    ident = message_id(writer.id, 3)
    done = ev.MediaReady(media_id=media, conversation_id=writer.id, message_id=ident, attachment=ready)
    foreign.beside(done, subject=media)
    foreign.beside(ev.ConversationRead(member="x", up_to_seq=3), subject=writer.id)
    changes = model.apply(arrivals(foreign.events))
    assert model.conversations == before
    assert (changes.patches, changes.unplaced) == ([], 2)


def test_the_last_event_of_a_command_is_its_outcome() -> None:
    writer, model = Writer(), ReadModel()
    writer.opened()
    claim = writer.assigned("grace")
    sent = writer.sent("grace", causationid=claim.causationid, final=True)
    model.apply(arrivals(writer.events))
    outcome = model.outcomes[claim.causationid]
    assert (outcome.status, outcome.type, outcome.seq) == ("accepted", sent.type, sent.seq)
    assert len(model.outcomes) == 1


def test_a_repeated_command_gets_its_first_outcome() -> None:
    writer, model, command = Writer(), ReadModel(), str(uuid4())
    refused = {"command_id": command, "code": "BOT_ACTIVE", "detail": "…"}
    first = ev.First(type="relaydesk.command.rejected.v1", seq=None, data=refused)
    again = ev.CommandRepeated(command_id=command, code="REPEATED", detail="…", first=first)
    writer.beside(again, causationid=command, final=True)
    model.apply(arrivals(writer.events))
    assert (model.outcomes[command].status, model.outcomes[command].data["code"]) == ("rejected", "BOT_ACTIVE")


def test_a_rejection_is_an_outcome_and_leaves_the_conversation_alone() -> None:
    writer, model, command = Writer(), ReadModel(), str(uuid4())
    writer.opened()
    data = ev.CommandRejected(command_id=command, code="STALE_VIEW", detail="…", missed=(3,))
    writer.beside(data, causationid=command, final=True, audience="agent:grace")
    model.apply(arrivals(writer.events))
    assert model.outcomes[command].status == "rejected"
    assert model.conversations[document_key("acme", writer.id)].seq == 2


def test_a_contact_alone_is_no_open_conversation() -> None:
    writer, model = Writer(), ReadModel()
    writer.next(ev.ContactCreated(contact=writer.contact))
    model.apply(arrivals(writer.events))
    state = model.conversations[document_key("acme", writer.id)]
    assert (state.status, state.contact) == (None, writer.contact)
    assert not +model.counters


def test_an_erasure_leaves_nothing_but_the_place_in_the_order_and_what_comes_later() -> None:
    writer, model = Writer(), ReadModel()
    writer.opened(bot=True)
    writer.received()
    writer.sent()
    erased = writer.erased()
    changes = model.apply(arrivals(writer.events))
    assert changes.erased == {document_key("acme", writer.id): erased.seq}
    assert [row.event["type"] for row in model.rows.values()] == ["relaydesk.contact.erased.v1"]
    assert not (changes.words or changes.patches or +model.counters)
    writer.opened()
    writer.received("again")
    model.apply(arrivals(writer.events[-3:]))
    [state] = model.conversations.values()
    assert (state.seq, state.unread, state.assignee, state.bot_enabled) == (8, 1, None, False)


def test_marks_and_media_of_before_an_erasure_have_no_place_any_more() -> None:
    media, writer, model = str(uuid4()), Writer(), ReadModel()
    writer.opened()
    file = Attachment(media_id=media, kind="image", status="pending")
    writer.received("look", [file])
    writer.erased()
    writer.read("grace", 3)
    writer.read("grace", 4)
    ident = message_id(writer.id, 3)
    writer.beside(ev.MediaReady(media_id=media, conversation_id=writer.id, message_id=ident, attachment=file))
    changes = model.apply(arrivals(writer.events))
    assert (changes.unplaced, changes.patches) == (3, [])
    [state] = model.conversations.values()
    assert (state.read_up_to, state.settled) == (0, 0)
