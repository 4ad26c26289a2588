"""The parts of the protocol one by one; all of it under crashes is in test_protocol_properties."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from services.routing import outgoing
from services.routing.core import Decision
from services.routing.documents import Arrival, Document, Entry, advanced
from services.routing.memory import Remembered
from services.routing.protocol import REPEATABLE_MS, Ground, Plan, Rules, owed, plan, waves
from shared.contracts import wire
from shared.contracts.commands import CommandRecord
from shared.contracts.ids import document_key
from shared.contracts.inbound import InboundAttachment
from shared.contracts.topics import (
    BOT_REQUESTS,
    CHANNEL_INBOUND,
    CHANNEL_OUTBOUND,
    CONVERSATION_COMMANDS,
    MEDIA_JOBS,
    WORKSPACE_EVENTS,
)
from shared.runtime.faults import Poison
from shared.runtime.records import Outgoing, Record
from tests.unit.routing.build import BOT, CONVERSATION, NOW, WORKSPACE, disable, edited, message, reply
from tests.unit.routing.simulation import Item

KEY = document_key(WORKSPACE, CONVERSATION)
NOW_MS = 1_800_000_000_000


NOTHING = Document(KEY)


def ground(document: Document = NOTHING, committed: Mapping[str, int] | None = None, *remembered: Remembered) -> Ground:
    return Ground({document.key: document}, {one.key: one for one in remembered}, committed or {}, NOW, NOW_MS)


def arrival(item: Item, offset: int, life: str = "life-1") -> Arrival:
    topic = CONVERSATION_COMMANDS if isinstance(item, CommandRecord) else CHANNEL_INBOUND
    record = Record(topic, 0, offset, KEY.encode(), wire.encode(item), {}, 0)
    return Arrival(record, f"{topic}/{life}/0", KEY, item)


def seqs(records: Any) -> list[int]:
    return [int(dict(one.headers)["seq"]) for one in records if "seq" in dict(one.headers)]


def entry(
    topic: str = WORKSPACE_EVENTS, source: str = "channel.inbound/life-1/0", offset: int = 5, age_ms: int = 0
) -> Entry:
    return Entry(source, offset, NOW_MS - age_ms, Outgoing(topic, KEY, b"{}"))


def first_of(found: Plan) -> Document:
    (document,) = found.writes
    return document


def test_a_plan_writes_state_records_and_offset_at_once() -> None:
    found = plan([arrival(message(), 7)], ground())
    document = first_of(found)
    assert (document.version, dict(document.applied)) == (1, {"channel.inbound/life-1/0": 7})
    assert tuple(one.record for one in document.pending) == found.waves[0]
    assert {(one.source, one.offset) for one in document.pending} == {("channel.inbound/life-1/0", 7)}
    assert [one.key for one in found.remembered] == [f"{KEY}:message:m1"]
    assert seqs(found.waves[0]) == [1, 2, 3]


def test_an_applied_offset_is_not_decided_again_and_its_records_are_published_as_they_were() -> None:
    document = first_of(plan([arrival(message(), 7)], ground()))
    again = plan([arrival(message(), 7)], ground(document))
    assert (again.writes, again.remembered, again.decided, again.taken) == ((), (), 0, 1)
    assert again.waves == (tuple(one.record for one in document.pending),)


def test_a_fresh_command_does_not_overtake_what_was_never_acknowledged() -> None:
    document = first_of(plan([arrival(message(), 7), arrival(message("m2"), 8)], ground()))
    found = plan([arrival(message(), 7), arrival(reply(), 0)], ground(document, {"channel.inbound/life-1/0": 7}))
    assert seqs(found.waves[0]) == [1, 2, 3, 4, 5, 6]
    assert seqs([one.record for one in first_of(found).pending]) == [1, 2, 3, 4, 5, 6]


def test_what_is_below_the_committed_offset_is_dropped_and_not_published() -> None:
    document = first_of(plan([arrival(message(), 7)], ground()))
    found = plan([arrival(reply(), 0)], ground(document, {"channel.inbound/life-1/0": 8}))
    assert seqs(found.waves[0]) == seqs([one.record for one in first_of(found).pending]) == [4, 5]


def test_nothing_follows_but_the_offset_is_applied_all_the_same() -> None:
    document = first_of(plan([arrival(message(), 7)], ground()))
    known = Remembered(f"{KEY}:message:m1", seq=3)
    found = plan([arrival(message(), 8)], ground(document, {"channel.inbound/life-1/0": 8}, known))
    assert dict(first_of(found).applied) == {"channel.inbound/life-1/0": 8}
    assert (found.waves, found.counted) == ((), {"message_known": 1})


def test_nothing_is_written_about_a_conversation_that_never_was() -> None:
    found = plan([arrival(edited("x", "m1"), 3)], ground())
    assert (found.writes, found.waves, found.decided) == ((), (), 1)


def test_a_command_to_nowhere_leaves_its_outcome_behind() -> None:
    found = plan([arrival(reply(), 3)], ground())
    assert first_of(found).state is None
    assert found.remembered[0].first is not None
    assert found.remembered[0].first.data["code"] == "NOT_FOUND"
    again = plan(
        [arrival(reply(), 4)], ground(first_of(found), {"conversation.commands/life-1/0": 4}, *found.remembered)
    )
    assert [dict(one.headers)["type"] for one in again.waves[0]] == [b"relaydesk.command.repeated.v1"]


def test_the_same_id_twice_in_one_batch_counts_once() -> None:
    found = plan([arrival(message(), 7), arrival(message(), 8), arrival(reply(), 0), arrival(reply(), 1)], ground())
    assert seqs(found.waves[0]) == [1, 2, 3, 4, 5]
    assert dict(first_of(found).applied) == {"channel.inbound/life-1/0": 8, "conversation.commands/life-1/0": 1}


def test_a_topic_made_anew_looks_applied_nowhere() -> None:
    document = first_of(plan([arrival(message(), 7), arrival(reply(), 0)], ground()))
    found = plan([arrival(message("m2"), 0, "life-2")], ground(document, {"channel.inbound/life-2/0": 0}))
    after = first_of(found)
    assert dict(after.applied) == {"conversation.commands/life-1/0": 0, "channel.inbound/life-2/0": 0}
    assert seqs(found.waves[0]) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("one", "kept"),
    [
        (entry(offset=5), True),
        (entry(offset=4), False),
        (entry(source="channel.inbound/former/0", offset=0), True),
        (entry(BOT_REQUESTS, age_ms=REPEATABLE_MS - 1), True),
        (entry(BOT_REQUESTS, age_ms=REPEATABLE_MS), False),
        (entry(CHANNEL_OUTBOUND, source="channel.inbound/former/0", age_ms=REPEATABLE_MS), False),
        (entry(WORKSPACE_EVENTS, age_ms=10 * REPEATABLE_MS), True),
    ],
)
def test_what_is_owed(one: Entry, kept: bool) -> None:
    assert owed(one, ground(committed={"channel.inbound/life-1/0": 5})) is kept


def test_a_former_life_of_a_topic_is_forgotten_and_another_partition_is_not() -> None:
    before = {"channel.inbound/a/3": 9, "conversation.commands/c/3": 4, "channel.inbound/b/1": 2}
    assert advanced(before, "channel.inbound/b/3", 0) == {
        "conversation.commands/c/3": 4,
        "channel.inbound/b/1": 2,
        "channel.inbound/b/3": 0,
    }
    assert advanced(before, "channel.inbound/a/3", 10)["channel.inbound/a/3"] == 10


def test_with_a_fence_all_deliveries_go_first_and_without_one_all_go_together() -> None:
    opened = first_of(plan([arrival(message(bot_kind="webhook"), 0)], ground()))
    committed = {"channel.inbound/life-1/0": 1}
    found = plan([arrival(disable(), 0), arrival(reply(), 1)], ground(opened, committed))
    deliveries, rest = found.waves
    assert {one.topic for one in deliveries} == {CHANNEL_OUTBOUND}
    assert [outgoing.is_fence(one) for one in deliveries] == [True, False]
    assert CHANNEL_OUTBOUND not in {one.topic for one in rest}
    assert len(plan([arrival(reply(), 1)], ground(opened, committed)).waves) == 1
    assert waves([]) == ()
    assert waves(deliveries) == (deliveries,)


def test_a_file_is_fetched_only_when_its_message_is_told() -> None:
    file = InboundAttachment(media_id=str(uuid.uuid4()), kind="image", url="https://cdn.example.com/a.png")
    told, fetched = plan([arrival(message(attachments=(file,)), 0), arrival(message("m2"), 1)], ground()).waves
    assert {one.topic for one in fetched} == {MEDIA_JOBS}
    assert (MEDIA_JOBS not in {one.topic for one in told}, seqs(told)) == (True, [1, 2, 3, 4])


def texts(n: int, size: int) -> list[Arrival]:
    return [arrival(message(f"m{i}", text="x" * size), i) for i in range(n)]


def test_a_plan_ends_before_a_documents_entries_pass_their_limit() -> None:
    found = plan(texts(10, 10_000), ground(), Rules(pending_limit=38_000))
    assert found.taken == 3
    rest = plan(texts(10, 10_000)[3:], ground(found.settled[0]), Rules(pending_limit=38_000))
    assert rest.taken == 3


def test_a_plan_ends_before_its_own_limit() -> None:
    assert plan(texts(10, 10_000), ground(), Rules(plan_limit=38_000)).taken == 3


def test_what_is_owed_already_is_published_before_more_is_added() -> None:
    full = first_of(plan(texts(3, 10_000), ground(), Rules(pending_limit=38_000)))
    found = plan([arrival(message("more", text="x" * 10_000), 9)], ground(full), Rules(pending_limit=38_000))
    assert (found.taken, found.writes) == (0, ())
    assert seqs(found.waves[0]) == [1, 2, 3, 4, 5]
    assert found.settled[0].pending == ()


def test_a_record_from_which_too_much_follows_is_poison() -> None:
    with pytest.raises(Poison) as poison:
        plan(texts(1, 10_000), ground(), Rules(pending_limit=5_000))
    assert poison.value.reason == "TOO_LARGE"
    assert poison.value.record is not None


def test_poison_is_told_only_when_all_before_it_is_carried_out() -> None:
    little, large = Rules(pending_limit=6_000), arrival(message("m2", text="x" * 9_000), 8)
    found = plan([arrival(message(), 7), large, arrival(message("m3"), 9)], ground(), little)
    assert (found.taken, seqs(found.waves[0])) == (1, [1, 2, 3])
    with pytest.raises(Poison) as poison:
        plan([large, arrival(message("m3"), 9)], ground(first_of(found)), little)
    assert (poison.value.reason, poison.value.record) == ("TOO_LARGE", large.record)


def test_what_the_rules_refuse_is_told_and_the_rest_goes_on() -> None:
    foreign, bad = arrival(message("m2", channel_id="another"), 8), arrival(reply("bad", actor=BOT), 0)
    found = plan([arrival(message(), 7), foreign, bad, arrival(message("m3"), 9)], ground())
    assert [(one.record, one.why.reason) for one in found.refused] == [
        (foreign.record, "FOREIGN"),
        (bad.record, "ACTOR"),
    ]
    types = [dict(one.headers)["type"] for one in found.waves[0]]
    assert types.count(b"relaydesk.message.received.v1") == 2
    assert types.count(b"relaydesk.command.rejected.v1") == 1
    assert [one.key for one in found.remembered] == [
        f"{KEY}:message:m1",
        f"{KEY}:command:{bad.item.id}",
        f"{KEY}:message:m3",
    ]


def test_a_bug_in_a_rule_comes_out_and_nothing_is_planned() -> None:
    def wrong(*_: Any) -> Decision:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        plan([arrival(message(), 7)], ground(), Rules(decide=wrong))
