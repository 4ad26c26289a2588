"""The projector on a real MongoDB, with both drivers: exactly once in effect, whatever is delivered how often."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.store.commands import CommandStore, NewCommand
from services.gateway.store.projection import ProjectionStore
from shared.contracts import events as ev
from shared.contracts.ids import document_key, message_id
from shared.contracts.resources import Attachment
from shared.runtime.faults import Fatal, Fenced, Poison, Transient
from shared.runtime.mongo import Mongo
from shared.runtime.records import Outgoing
from tests.integration.gateway.stores import Log, Model, counter_place
from tests.unit.gateway.histories import Event, Writer, archived, counted, histories, told


@pytest.fixture
def model(mongo: Mongo) -> Model:
    return Model(mongo)


def talk(workspace: str = "acme") -> Writer:
    writer = Writer(workspace=workspace)
    writer.opened()
    writer.received()
    writer.sent("grace")
    writer.received()
    return writer


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
async def test_what_is_stored_equals_what_is_counted_over_the_whole_history(model: Model, data: st.DataObject) -> None:
    """With redelivery from any earlier offset, in any batches."""
    for name in ("conversations", "events", "counters", "positions"):
        await model.mongo.db[name].delete_many({})
    history: list[Event] = data.draw(histories())
    log, at = Log(history), 0
    while at < len(history):
        begin: int = data.draw(st.integers(0, at))
        at = data.draw(st.integers(at, len(history) - 1)) + 1
        await model.projector().handle(log.batch(begin, at))
    assert await model.states() == {
        key: (t.seq, t.open, t.assignee, t.needs_human, t.unread) for key, t in told(history).items()
    }
    assert await model.counters() == {counter_place(place): count for place, count in counted(history).items()}
    assert len((await model.dump("events"))["events"]) == len(archived(history))


async def test_a_batch_that_comes_again_after_its_transaction_changes_nothing(model: Model) -> None:
    log, projector = Log(talk().events), model.projector()
    await projector.handle(log.batch(0))
    before = await model.dump()
    await model.projector().handle(log.batch(0))
    await projector.handle(log.batch(2, 4))
    assert await model.dump() == before


class DiesOnce(ProjectionStore):
    """Its process ends when everything but the commit is done."""

    async def _decide(self, outcomes: object, session: object) -> None:
        raise ConnectionError("the process ends here")


async def test_death_inside_the_transaction_leaves_nothing_behind(model: Model) -> None:
    log = Log(talk().events)
    with pytest.raises(ConnectionError):
        await model.projector(DiesOnce(model.mongo)).handle(log.batch(0))
    assert await model.dump() == {"conversations": [], "events": [], "counters": [], "positions": []}
    await model.projector().handle(log.batch(0))
    assert len((await model.dump("events"))["events"]) == 5


async def test_of_two_projectors_at_the_same_batch_one_is_fenced_and_nothing_counts_twice(model: Model) -> None:
    log = Log(talk().events)
    results = await asyncio.gather(*(model.projector().handle(log.batch(0)) for _ in range(4)), return_exceptions=True)
    assert all(result is None or isinstance(result, Fenced | Transient) for result in results), results
    assert any(result is None for result in results)
    assert await model.counters() == {("acme", "open"): 1, ("acme", "unassigned"): 1, ("acme", "unread"): 1}
    assert len((await model.dump("events"))["events"]) == 5


async def test_a_zombie_that_read_before_another_wrote_is_fenced(model: Model) -> None:
    log = Log(talk().events)

    class Slow(ProjectionStore):
        async def positions(self, partitions: object) -> dict[str, int]:
            return {"workspace.events/life-1/0": 0}

    await model.projector().handle(log.batch(0))
    before = await model.dump()
    with pytest.raises(Fenced):
        await model.projector(Slow(model.mongo)).handle(log.batch(0))
    assert await model.dump() == before


async def test_a_hole_holds_the_batch_and_the_missing_event_lets_it_go_on(model: Model) -> None:
    events = talk().events
    log = Log([*events[:2], *events[3:]])
    with pytest.raises(Transient):
        await model.projector().handle(log.batch(0))
    assert (await model.dump("events"))["events"] == []
    await model.apply(events)
    assert len((await model.dump("events"))["events"]) == 5


async def test_a_stored_seq_with_another_cause_ends_the_process(model: Model) -> None:
    events = talk().events
    other = events[2].model_copy(update={"causationid": str(uuid4())})
    log = Log([*events, other])
    await model.projector().handle(log.batch(0, 5))
    with pytest.raises(Fatal):
        await model.projector().handle(log.batch(5))


async def test_an_archive_that_is_ahead_of_its_conversation_ends_the_process(model: Model) -> None:
    """A backup of one collection was restored, and not of the other."""
    log = Log(talk().events)
    await model.projector().handle(log.batch(0))
    await model.mongo.db["conversations"].delete_many({})
    await model.mongo.db["positions"].delete_many({})
    with pytest.raises(Fatal):
        await model.projector().handle(log.batch(0))


async def test_a_read_model_ahead_of_its_topic_refuses_to_start(model: Model) -> None:
    await model.apply(talk().events)
    at = frozenset({("workspace.events", 0)})
    await model.projector().assigned(at, {})
    model.end = 4
    with pytest.raises(Fatal, match=r"workspace\.events/0"):
        await model.projector().assigned(at, {})


async def test_a_topic_made_anew_begins_anew(model: Model) -> None:
    writer = talk()
    await model.apply(writer.events)
    more = [writer.received()]
    projector = model.projector()
    projector._around = replace(projector._around, incarnation=lambda: "life-2")
    await projector.handle(Log(more).batch(0))
    assert len((await model.dump("events"))["events"]) == 6


@pytest.mark.parametrize("value", [b"", b"{}", b"[" * 1000, b"\xff\xfe", b'{"a": NaN}', None])
async def test_what_is_no_event_is_named_as_the_culprit(model: Model, value: bytes | None) -> None:
    log = Log(talk().events)
    log.records[1] = replace(log.records[1], value=value)
    with pytest.raises(Poison) as poison:
        await model.projector().handle(log.batch(0))
    assert poison.value.record is log.records[1]
    assert (await model.dump("events"))["events"] == []


async def test_the_position_passes_over_what_was_dead_lettered(model: Model) -> None:
    log, projector = Log(talk().events), model.projector()
    garbage = [replace(log.records[-1], value=b"{}", offset=5 + number) for number in range(2)]
    for record in garbage:
        await projector.dead_lettered(record, "UNDECODABLE")
    assert (await model.dump("positions"))["positions"] == []
    await projector.handle(log.batch(0))
    assert [row["offset"] for row in (await model.dump("positions"))["positions"]] == [7]
    await projector.dead_lettered(replace(garbage[0], offset=7), "UNDECODABLE")
    assert [row["offset"] for row in (await model.dump("positions"))["positions"]] == [8]


async def test_an_event_under_another_workspaces_key_is_refused(model: Model) -> None:
    log = Log(talk().events)
    log.records[0] = replace(log.records[0], key=b"other")
    with pytest.raises(Poison) as poison:
        await model.projector().handle(log.batch(0))
    assert poison.value.reason == "FOREIGN"


async def test_the_current_status_is_folded_into_the_archived_message(model: Model) -> None:
    writer = talk()
    await model.apply(writer.events)
    done = writer.next(ev.MessageStatusChanged(message_id=message_id(writer.id, 4), status="delivered"))
    await model.projector().handle(Log([*writer.events[:-1], done]).batch(5))
    rows = (await model.dump("events"))["events"]
    assert rows[3]["event"]["data"]["message"]["status"] == "delivered"
    assert rows[5]["event"]["type"] == "relaydesk.message.status_changed.v1"


async def test_media_are_folded_into_the_message_they_belong_to(model: Model) -> None:
    writer, media = talk(), [str(uuid4()) for _ in range(3)]
    pending = [Attachment(media_id=ident, kind="image", status="pending") for ident in media]
    writer.received("look", pending)
    ident = message_id(writer.id, 6)
    ready = pending[1].model_copy(update={"status": "ready", "size": 7})
    place = {"conversation_id": writer.id, "message_id": ident}
    writer.beside(ev.MediaReady(media_id=media[1], attachment=ready, **place), subject=media[1])
    writer.beside(ev.MediaRejected(media_id=media[2], code="TOO_LARGE", **place), subject=media[2])
    await model.apply(writer.events)
    kept = (await model.dump("events"))["events"][5]["event"]["data"]["message"]["attachments"]
    assert [(row["status"], row["size"]) for row in kept] == [("pending", None), ("ready", 7), ("rejected", None)]


def new_command(ident: str, workspace: str = "acme") -> NewCommand:
    return NewCommand(ident, workspace, "grace", "digest", str(uuid4()), Outgoing("conversation.commands", "k", b"v"))


async def test_an_outcome_is_stored_with_the_events_it_is_about_and_told(model: Model) -> None:
    commands, ident, writer = CommandStore(model.mongo), str(uuid4()), talk()
    await commands.add(new_command(ident), datetime.now(UTC))
    sent = writer.sent("grace", causationid=ident, final=True)
    await model.apply(writer.events)
    state = await commands.find(ident, "acme")
    assert state is not None and state.ending is not None
    assert (state.status, state.ending.seq, state.record) == ("accepted", sent.seq, None)
    assert state.ending.data["message"]["id"] == message_id(writer.id, 6)
    assert model.decided == [ident]


async def test_the_first_outcome_stays(model: Model) -> None:
    commands, ident, writer = CommandStore(model.mongo), str(uuid4()), talk()
    await commands.add(new_command(ident), datetime.now(UTC))
    refused = ev.CommandRejected(command_id=ident, code="BOT_ACTIVE", detail="…")
    writer.beside(refused, causationid=ident, final=True)
    first = ev.First(type="relaydesk.message.sent.v1", seq=4, data={"message": {"id": "m"}})
    repeated = ev.CommandRepeated(command_id=ident, code="REPEATED", detail="…", first=first)
    await model.apply(writer.events)
    later = writer.beside(repeated, causationid=ident, final=True)
    await model.projector().handle(Log([*writer.events[:-1], later]).batch(6))
    state = await commands.find(ident, "acme")
    assert state is not None and state.status == "rejected"


async def test_an_outcome_in_another_workspace_decides_nothing(model: Model) -> None:
    commands, ident, foreign = CommandStore(model.mongo), str(uuid4()), talk("other")
    await commands.add(new_command(ident), datetime.now(UTC))
    foreign.sent("mallory", causationid=ident, final=True)
    await model.apply(foreign.events)
    state = await commands.find(ident, "acme")
    assert state is not None and state.status == "pending"


async def test_two_workspaces_with_the_same_conversation_id_stay_apart(model: Model) -> None:
    ours, theirs = talk(), Writer("customer", "acme")
    theirs.opened()
    copied = [event.model_copy(update={"workspace": "other"}) for event in theirs.events]
    await model.apply([*ours.events, *copied])
    keys = [row["_id"] for row in (await model.dump("conversations"))["conversations"]]
    assert keys == [document_key("acme", ours.id), document_key("other", ours.id)]
