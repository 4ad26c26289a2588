"""Reading through the API: what happened in routing is what a member sees, no older than they know it to be."""

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

import pytest

from services.gateway import reading
from services.gateway.core import ConversationState
from services.gateway.fold import Changes
from services.gateway.store.inbox import Inbox, InboxStore, Page
from services.gateway.store.projection import Move, ProjectionStore
from shared.testing.api import Api
from shared.testing.eventually import eventually
from shared.testing.follower import Follower
from tests.integration.gateway.installation import Installation, known

AS_SHIPPED_S = reading.WAIT_S
NO_ONES = "4c1a7d3e-52b8-4f06-9d1e-a3b7c5e2f840"


async def test_a_new_conversation_is_open_unassigned_and_unread(agent: Api, conversation: str) -> None:
    state = await agent.ok("GET", f"/v1/conversations/{conversation}")
    assert (state["status"], state["assignee"], state["unread"], state["seq"]) == ("open", None, 1, 3)
    assert state["contact"]["name"] == "Ada Lovelace"
    assert state["last_message"]["text"] == "hello"
    assert state["bot"] == {"configured": False, "enabled": False, "epoch": 0}
    thread = await agent.ok("GET", f"/v1/conversations/{conversation}/messages")
    assert [item["seq"] for item in thread["items"]] == [1, 2, 3]
    assert [item["type"] for item in thread["items"]][-1] == "relaydesk.message.received.v1"
    assert (thread["next"], thread["seq"]) == (None, 3)


async def test_what_the_stream_told_is_found_even_where_the_read_model_is_behind(
    installation: Installation, agent: Api, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on when somebody has found it behind for the third time."""
    apply, position, go_on = ProjectionStore.apply, InboxStore.position, asyncio.Event()
    asked: list[str] = []

    async def held(self: ProjectionStore, changes: Changes, moves: Sequence[Move]) -> None:
        await go_on.wait()
        await apply(self, changes, moves)

    async def looked(self: InboxStore, partition: str) -> int:
        asked.append(partition)
        if len(asked) == 3:
            go_on.set()
        return await position(self, partition)

    monkeypatch.setattr(ProjectionStore, "apply", held)
    ident = await installation.says(workspace, "customer", "hello")

    async def said() -> bool:
        return len(await installation.events(workspace, "message.received")) == 1

    try:
        await eventually(said, "the message on the log")
        monkeypatch.setattr(InboxStore, "position", looked)
        assert (await agent.call("GET", f"/v1/conversations/{ident}")).status == 200
        assert len(asked) >= 3
    finally:
        go_on.set()


async def test_the_inbox_is_paged_by_latest_activity_and_misses_nobody(
    installation: Installation, agent: Api, workspace: str
) -> None:
    people = [await installation.says(workspace, f"customer-{number}", "hello") for number in range(7)]
    for ident in people:
        await known(agent, ident, 3)
    await agent.reply(people[2], "you are next")
    seen, after = [], ""
    while True:
        page = await agent.ok("GET", f"/v1/conversations?limit=3{after}")
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={quote(page['next'])}"
    assert seen[0] == people[2]
    assert sorted(seen) == sorted(people)


async def test_views_and_status_filter_the_inbox(
    installation: Installation, agent: Api, other: Api, workspace: str
) -> None:
    mine, theirs, nobodys, closed = [
        await installation.says(workspace, f"customer-{number}", "hello") for number in range(4)
    ]
    for ident in (mine, theirs, nobodys, closed):
        await known(agent, ident, 3)
    await agent.reply(mine, "hi")
    await other.reply(theirs, "hi")
    await agent.ok("POST", f"/v1/conversations/{closed}/close", {})

    async def listed(query: str) -> set[str]:
        return {item["id"] for item in (await agent.ok("GET", f"/v1/conversations?{query}"))["items"]}

    assert await listed("view=all") == {mine, theirs, nobodys, closed}
    assert await listed("view=mine") == {mine}
    assert await listed("view=unassigned") == {nobodys, closed}
    assert await listed("view=unassigned&status=open") == {nobodys}
    assert await listed("status=closed") == {closed}


async def test_a_thread_is_read_backwards_page_by_page(installation: Installation, agent: Api, workspace: str) -> None:
    ident = await installation.says(workspace, "customer", *(f"m{number}" for number in range(20)))
    await known(agent, ident, 22)
    path, before = f"/v1/conversations/{ident}/messages?limit=5", ""
    seqs: list[int] = []
    while True:
        page = await agent.ok("GET", path + before)
        assert len(page["items"]) <= 5
        seqs = [item["seq"] for item in page["items"]] + seqs
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seqs == list(range(1, 23))
    assert (await agent.ok("GET", f"{path}&before=1"))["items"] == []


async def test_who_streams_from_the_lists_cursor_misses_nothing_that_the_list_lacks(
    installation: Installation, agent: Api, workspace: str, conversation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something happens while the page is being read."""
    read, happened = InboxStore.page, asyncio.Event()
    later = ""

    async def interrupted(self: InboxStore, inbox: Inbox, page: Page) -> list[ConversationState]:
        nonlocal later
        items = await read(self, inbox, page)
        if not happened.is_set():
            happened.set()
            later = await installation.says(workspace, "customer-2", "hello")
            await known(agent, later, 3)
        return items

    monkeypatch.setattr(InboxStore, "page", interrupted)
    page = await agent.ok("GET", "/v1/conversations")
    assert [item["id"] for item in page["items"]] == [conversation]
    url = (await agent.ok("POST", "/v1/stream/ticket"))["url"]
    async with Follower(agent, url, page["stream_cursor"]) as stream:
        assert stream.welcomes[0]["recovered"] is True
        await eventually(lambda: len(stream.of(later)) == 3, "three events of the later conversation")
        assert not stream.of(conversation)


def test_what_is_coming_is_waited_for_as_long_as_the_contract_says() -> None:
    assert AS_SHIPPED_S == 2


async def test_min_seq_waits_for_what_is_coming_and_says_when_it_does_not(
    installation: Installation, agent: Api, workspace: str, conversation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/conversations/{conversation}"
    waiting = asyncio.create_task(agent.call("GET", f"{path}/messages?min_seq=5"))
    await installation.says(workspace, "customer-1", "one", "two")
    answer = await waiting
    assert (answer.status, answer.body["seq"]) == (200, 5)
    assert [item["seq"] for item in answer.body["items"]] == [1, 2, 3, 4, 5]
    monkeypatch.setattr(reading, "WAIT_S", 0.2)
    await agent.refused("GET", f"{path}?min_seq=1000", 503, "LAGGING")


async def test_reading_is_marked_once_for_all_and_never_goes_back(
    installation: Installation, agent: Api, other: Api, workspace: str
) -> None:
    ident = await installation.says(workspace, "customer", "one", "two", "three")
    await known(agent, ident, 5)
    path = f"/v1/conversations/{ident}/read"
    assert (await agent.ok("POST", path, {"up_to_seq": 4}))["unread"] == 1
    assert (await agent.ok("POST", path, {"up_to_seq": 3}))["unread"] == 1
    assert (await other.ok("POST", path, {"up_to_seq": 5}))["unread"] == 0
    assert (await agent.ok("POST", path, {"up_to_seq": 0}))["unread"] == 0
    assert len(await installation.events(workspace, "conversation.read")) == 2
    await installation.says(workspace, "customer", "four")
    assert (await known(agent, ident, 6))["unread"] == 1


async def test_a_mark_beyond_the_end_is_refused_and_silences_nothing(
    agent: Api, conversation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WAIT_S", 0.2)
    await agent.refused("POST", f"/v1/conversations/{conversation}/read", 503, "LAGGING", {"up_to_seq": 999})
    assert (await agent.ok("GET", f"/v1/conversations/{conversation}"))["unread"] == 1


async def test_a_contact_is_found_by_its_id_and_changed_by_an_agent(agent: Api, conversation: str) -> None:
    contact = (await agent.ok("GET", f"/v1/conversations/{conversation}"))["contact"]
    path = f"/v1/contacts/{contact['id']}"
    assert await agent.ok("GET", path) == contact
    changed = await agent.ok("PATCH", path, {"email": "ada@example.org", "last_name": None})
    assert (changed["email"], changed["last_name"], changed["first_name"]) == ("ada@example.org", None, "Ada")
    assert (await agent.ok("GET", f"/v1/conversations/{conversation}"))["contact"] == changed
    assert await agent.ok("PATCH", path, {"email": "ada@example.org"}) == changed


@pytest.mark.parametrize("ident", ["%00%ff", "nobody", "..%2f..", "A" * 300, NO_ONES, NO_ONES.upper()])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/conversations/{}", None),
        ("GET", "/v1/conversations/{}/messages", None),
        ("POST", "/v1/conversations/{}/messages", {"text": "x"}),
        ("POST", "/v1/conversations/{}/read", {"up_to_seq": 1}),
        ("GET", "/v1/contacts/{}", None),
        ("PATCH", "/v1/contacts/{}", {"name": "x"}),
        ("GET", "/v1/commands/{}", None),
    ],
)
async def test_an_id_that_is_none_is_not_found(
    agent: Api, method: str, path: str, body: dict[str, object] | None, ident: str
) -> None:
    await agent.refused(method, path.format(ident), 404, "NOT_FOUND", body)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("limit=0", 422, "INVALID"),
        ("limit=201", 422, "INVALID"),
        ("limit=x", 422, "INVALID"),
        ("view=theirs", 422, "INVALID"),
        ("status=gone", 422, "INVALID"),
        ("q=" + "a" * 10_000, 422, "INVALID"),
        ("q=" + "+".join(f"w{n}" for n in range(10, 23)), 422, "INVALID"),
        ("after=%C3%A9", 400, "BAD_CURSOR"),
        ("after=!!!!", 400, "BAD_CURSOR"),
        ("after=%2F%2F%2F%2F", 400, "BAD_CURSOR"),
        ("after=" + "A" * 1000, 400, "BAD_CURSOR"),
    ],
)
async def test_an_odd_query_is_refused(agent: Api, query: str, status: int, code: str) -> None:
    await agent.refused("GET", f"/v1/conversations?{query}", status, code)


async def test_an_empty_cursor_is_none(agent: Api, conversation: str) -> None:
    page = await agent.ok("GET", "/v1/conversations?after=")
    assert [item["id"] for item in page["items"]] == [conversation]


async def test_counters_are_the_workspaces_and_ones_own(
    installation: Installation, agent: Api, other: Api, workspace: str
) -> None:
    first, second = [await installation.says(workspace, f"customer-{number}", "hello") for number in range(2)]
    for ident in (first, second):
        await known(agent, ident, 3)
    await other.reply(first, "hi")
    everybody = {"open": 2, "unassigned": 1, "unread": 1, "needs_human": 0}
    assert await agent.ok("GET", "/v1/counters") == {**everybody, "mine": 0}
    assert await other.ok("GET", "/v1/counters") == {**everybody, "mine": 1}
    await other.ok("POST", f"/v1/conversations/{first}/close", {})
    assert await other.ok("GET", "/v1/counters") == {
        "open": 1,
        "unassigned": 1,
        "mine": 0,
        "unread": 1,
        "needs_human": 0,
    }
