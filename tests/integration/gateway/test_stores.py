"""The gateway's stores on a real MongoDB, with both drivers."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.gateway.membership import Claims, MemberState
from services.gateway.store.commands import CommandStore, NewCommand
from services.gateway.store.documents import activity
from services.gateway.store.inbox import Counts, Inbox, InboxStore, Page, View, index_of, query_of
from services.gateway.store.indexes import Indexes
from services.gateway.store.marks import Mark, MarkStore
from services.gateway.store.members import By, MemberStore
from shared.contracts.resources import ConversationStatus
from shared.runtime.mongo import Mongo
from shared.runtime.records import Outgoing
from tests.integration.gateway.stores import Model
from tests.unit.gateway.histories import Writer

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RECORD = Outgoing("workspace.events", "acme", b"\x00\xff", (("type", b"x"),))
BY = By("agent:olivia", NOW)


async def test_a_command_is_added_once_and_found_in_its_workspace_only(mongo: Mongo) -> None:
    store = CommandStore(mongo)
    command = NewCommand(str(uuid4()), "acme", "grace", "digest", str(uuid4()), RECORD)
    added = await asyncio.gather(*(store.add(command, NOW) for _ in range(8)))
    assert sorted(added) == [False] * 7 + [True]
    found = await store.find(command.id, "acme")
    assert found is not None
    assert (found.status, found.digest, found.record, found.ending) == ("pending", "digest", RECORD, None)
    assert await store.find(command.id, "other") is None
    assert await store.find(str(uuid4()), "acme") is None


async def test_commands_are_forgotten_after_fifteen_days(mongo: Mongo) -> None:
    indexes = await mongo.db["commands"].index_information()
    assert [row["expireAfterSeconds"] for row in indexes.values() if "expireAfterSeconds" in row] == [15 * 86_400]


async def test_a_mark_only_rises_and_each_rise_is_told(mongo: Mongo) -> None:
    store, mark = MarkStore(mongo), Mark("acme", str(uuid4()), "grace", 5)
    raised = [await store.raise_to(replace(mark, up_to_seq=seq), RECORD, NOW) for seq in (5, 5, 4, 6)]
    assert raised == [True, False, False, True]
    row: Any = await mongo.db["marks"].find_one({"_id": mark.key})
    assert (row["up_to_seq"], len(row["pending"])) == (6, 2)


async def test_of_many_who_mark_at_once_the_highest_stays(mongo: Mongo) -> None:
    store, mark = MarkStore(mongo), Mark("acme", str(uuid4()), "grace", 0)
    await asyncio.gather(*(store.raise_to(replace(mark, up_to_seq=seq), RECORD, NOW) for seq in range(1, 9)))
    row: Any = await mongo.db["marks"].find_one({"_id": mark.key})
    assert row["up_to_seq"] == 8


async def test_of_two_who_change_a_member_one_is_told_to_read_again(mongo: Mongo) -> None:
    store, ada = MemberStore(mongo), MemberState("acme", "ada", claims=Claims("Ada", "agent", NOW))
    made = await asyncio.gather(*(store.put(ada, BY) for _ in range(4)))
    assert sorted(state is not None for state in made) == [False, False, False, True]
    stored = await store.find("acme", "ada")
    assert stored == replace(ada, version=1)
    assert stored is not None
    changes = [replace(stored, name_set=f"Ada {number}") for number in range(4)]
    put = await asyncio.gather(*(store.put_audited(stored, change, BY) for change in changes))
    [winner] = [state for state in put if state is not None]
    assert await store.find("acme", "ada") == winner
    [entry] = await mongo.db["audit"].find().to_list(None)
    assert (entry["after"]["name"], entry["by"], entry["at"]) == (winner.name, "agent:olivia", NOW)
    row: Any = await mongo.db["members"].find_one({"_id": "acme:ada"})
    assert len(row["pending"]) == 2
    assert await store.find("other", "ada") is None


async def test_members_are_listed_watched_and_swept(mongo: Mongo) -> None:
    store = MemberStore(mongo)
    assert await store.changed_since(None) == []
    for workspace, ident in (("acme", "a"), ("acme", "b"), ("other", "a"), ("acme", "c")):
        await store.put(MemberState(workspace, ident, active=ident != "a"), BY)
    assert [state.id for state in await store.listed("acme", 2, None)] == ["a", "b"]
    assert [state.id for state in await store.listed("acme", 2, "b")] == ["c"]
    [latest] = await store.changed_since(None)
    assert (latest.member.workspace, latest.member.id) == ("acme", "c")
    watched = await store.changed_since(latest.changed_at - timedelta(seconds=10))
    assert len(watched) == 4
    assert await store.changed_since(latest.changed_at + timedelta(seconds=1)) == []
    inactive = await store.inactive("", 1)
    inactive += await store.inactive("acme:a", 1)
    assert [(state.workspace, state.id) for state in inactive] == [("acme", "a"), ("other", "a")]
    assert await store.inactive("other:a", 1) == []


@pytest.fixture
async def inbox(mongo: Mongo) -> InboxStore:
    model = Model(mongo)
    events = []
    for number in range(5):
        writer = Writer(f"customer-{number}")
        writer.opened()
        writer.received()
        if number % 2:
            writer.assigned("grace")
        events += writer.events
    foreign = Writer("customer-0", "other")
    foreign.opened()
    await model.apply([*events, *foreign.events])
    return InboxStore(mongo)


async def test_pages_follow_each_other_without_a_gap_or_a_repeat(inbox: InboxStore) -> None:
    everything = await inbox.page(Inbox("acme", "grace"), Page(200))
    assert len(everything) == 5
    assert [activity(state) for state in everything] == sorted((activity(s) for s in everything), reverse=True)
    first = await inbox.page(Inbox("acme", "grace"), Page(2))
    rest = await inbox.page(Inbox("acme", "grace"), Page(200, activity(first[-1])))
    assert [*first, *rest] == everything
    assert len(await inbox.page(Inbox("acme", "grace", "mine"), Page(200))) == 2
    assert len(await inbox.page(Inbox("acme", "grace", "unassigned", "open"), Page(200))) == 3
    assert len(await inbox.page(Inbox("other", "grace"), Page(200))) == 1


async def test_counts_are_kept_not_scanned(inbox: InboxStore) -> None:
    assert await inbox.counts("acme", "grace") == Counts(open=5, unassigned=3, mine=2, unread=5, needs_human=0)
    assert await inbox.counts("acme", "ada") == Counts(open=5, unassigned=3, mine=0, unread=5, needs_human=0)
    assert await inbox.counts("nowhere", "grace") == Counts(0, 0, 0, 0, 0)


@pytest.mark.parametrize("after", [None, "9"], ids=["first page", "next page"])
@pytest.mark.parametrize("status", [None, "open", "closed"])
@pytest.mark.parametrize("view", ["all", "mine", "unassigned"])
async def test_no_view_of_the_inbox_scans_or_sorts(
    mongo: Mongo, inbox: InboxStore, view: View, status: ConversationStatus | None, after: str | None
) -> None:
    """A page of one looks at one key, one more for each further range that it merges, and one that ends a range."""
    asked = Inbox("acme", "grace", view, status)
    wanted = query_of(asked) | ({"activity": {"$lt": after}} if after else {})
    plan = await mongo.db["conversations"].find(wanted).hint(index_of(asked)).sort("activity", -1).limit(1).explain()
    stages = str(plan["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in stages
    assert "COLLSCAN" not in stages
    assert "'SORT'" not in stages
    assert plan["executionStats"]["totalKeysExamined"] <= 4
    assert plan["executionStats"]["totalDocsExamined"] <= 2


async def test_counters_and_threads_are_read_by_their_ids(mongo: Mongo, inbox: InboxStore) -> None:
    await mongo.db.command({"profile": 2})
    await inbox.counts("acme", "grace")
    await inbox.thread("acme", Writer("customer-1").id, 10**15, 2)
    await mongo.db.command({"profile": 0})
    read = {"op": "query", "ns": {"$regex": r"\.(counters|events)$"}}
    seen = await mongo.db["system.profile"].find(read).to_list(None)
    assert len(seen) == 2
    assert all("COLLSCAN" not in row["planSummary"] and row["keysExamined"] <= 4 for row in seen), seen


async def test_a_thread_is_a_range_of_ids(mongo: Mongo, inbox: InboxStore) -> None:
    ident = Writer("customer-1").id
    assert [event["seq"] for event in await inbox.thread("acme", ident, 10**15, 2)] == [3, 4]
    assert [event["seq"] for event in await inbox.thread("acme", ident, 3, 200)] == [1, 2]
    assert await inbox.thread("other", ident, 10**15, 200) == []
    assert len(await inbox.thread("other", Writer("customer-0", "other").id, 10**15, 200)) == 2


async def test_indexes_may_be_made_again(mongo: Mongo) -> None:
    await Indexes(mongo).start()
