"""Contacts that are erased, exported, or idle for too long, with a real routing behind."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from services.gateway.commanding import Commander
from services.gateway.core import ConversationState
from services.gateway.outcomes import Outcomes
from services.gateway.retaining import Retaining
from services.gateway.store.commands import CommandStore
from services.gateway.store.inbox import InboxStore
from shared.runtime.clock import SystemClock
from shared.testing.api import Api
from shared.testing.eventually import eventually
from tests.integration.gateway.installation import Installation, Running, known

SECRET = "my secret is a rhubarb"


async def spoken(installation: Installation, agent: Api, workspace: str, customer: str = "customer-1") -> str:
    """A conversation of a customer's word and an agent's; -> its id."""
    ident = await installation.says(workspace, customer, SECRET)
    await known(agent, ident, 3)
    answer = await agent.reply(ident, f"I keep it: {SECRET}", f"reply-{ident}")
    assert answer.status == 201
    assert (await agent.call("POST", f"/v1/conversations/{ident}/notes", {"text": SECRET})).status == 201
    return ident


async def contact_of(agent: Api, conversation: str) -> str:
    return str((await agent.ok("GET", f"/v1/conversations/{conversation}"))["contact"]["id"])


async def everything(installation: Installation, workspace: str) -> str:
    """All documents of the gateway's about a workspace, as text."""
    names = await installation.db.list_collection_names()
    found = [await installation.db[name].find({"workspace": workspace}).to_list(None) for name in names]
    return json.dumps(found, default=repr)


async def test_an_erased_contact_is_gone_everywhere_and_the_others_stay(
    installation: Installation, agent: Api, owner: Api, workspace: str
) -> None:
    before = await agent.ok("GET", "/v1/counters")
    ident, other = [await spoken(installation, agent, workspace, who) for who in ("ada", "bob")]
    contact = await contact_of(agent, ident)
    assert (await owner.call("DELETE", f"/v1/contacts/{contact}")).status == 204

    for path in (f"/v1/contacts/{contact}", f"/v1/conversations/{ident}", f"/v1/conversations/{ident}/messages"):
        await agent.refused("GET", path, 404, "NOT_FOUND")
    await agent.refused("POST", f"/v1/conversations/{ident}/messages", 404, "NOT_FOUND", {"text": "hi"})
    listed = await agent.ok("GET", "/v1/conversations?q=rhubarb")
    assert [item["id"] for item in listed["items"]] == [other]
    counters = await agent.ok("GET", "/v1/counters")
    assert (counters["open"], counters["mine"]) == (before["open"] + 1, before["mine"] + 1)
    [erased] = await installation.events(workspace, "contact.erased")
    assert erased.headers["subject"] == ident.encode()
    await owner.ok("GET", f"/v1/contacts/{await contact_of(agent, other)}/export")


async def test_no_word_of_an_erased_contact_stays_in_the_database(
    installation: Installation, agent: Api, owner: Api, workspace: str
) -> None:
    ident = await spoken(installation, agent, workspace)
    assert "rhubarb" in await everything(installation, workspace)
    assert (await owner.call("DELETE", f"/v1/contacts/{await contact_of(agent, ident)}")).status == 204
    kept = await everything(installation, workspace)
    assert "rhubarb" not in kept
    assert "customer-1" not in kept


async def test_who_writes_again_begins_anew_in_the_same_order(
    installation: Installation, agent: Api, owner: Api, workspace: str
) -> None:
    ident = await spoken(installation, agent, workspace)
    contact = await contact_of(agent, ident)
    assert (await owner.call("DELETE", f"/v1/contacts/{contact}")).status == 204
    assert await installation.says(workspace, "customer-1", "hello again") == ident
    state = await known(agent, ident, 10)
    assert (state["contact"]["id"], state["contact"]["name"], state["unread"]) == (contact, "Ada Lovelace", 1)
    thread = await agent.ok("GET", f"/v1/conversations/{ident}/messages?limit=2")
    assert [item["seq"] for item in thread["items"]] == [9, 10]
    thread = await agent.ok("GET", f"/v1/conversations/{ident}/messages")
    assert [(item["seq"], item["type"].split(".")[2]) for item in thread["items"]] == [
        (7, "erased"),
        (8, "created"),
        (9, "opened"),
        (10, "received"),
    ]
    assert (thread["next"], (await agent.ok("GET", f"/v1/conversations/{ident}/messages?limit=3"))["next"]) == (None, 8)
    assert (await agent.ok("GET", f"/v1/conversations/{ident}/messages?before=7"))["items"] == []
    assert (await agent.reply(ident, "welcome back")).status == 201


async def test_an_erasure_is_answered_once_and_the_same_under_its_key(
    installation: Installation, agent: Api, owner: Api, second: Running, workspace: str
) -> None:
    ident = await spoken(installation, agent, workspace)
    path = f"/v1/contacts/{await contact_of(agent, ident)}"
    elsewhere = await installation.member(second.base, "olivia", workspace, "owner")
    for api in (owner, owner, elsewhere):
        assert (await api.call("DELETE", path, None, {"Idempotency-Key": "erase-1"})).status == 204
    await owner.refused("DELETE", path, 404, "NOT_FOUND")
    assert len(await installation.events(workspace, "contact.erased")) == 1


async def test_a_repeated_reply_is_not_sent_again_after_the_erasure(
    installation: Installation, agent: Api, owner: Api, workspace: str
) -> None:
    ident = await spoken(installation, agent, workspace)
    assert (await owner.call("DELETE", f"/v1/contacts/{await contact_of(agent, ident)}")).status == 204
    again = await agent.reply(ident, f"I keep it: {SECRET}", f"reply-{ident}")
    assert (again.status, again.body["code"]) == (404, "NOT_FOUND")
    assert len(await installation.events(workspace, "message.sent")) == 1


async def test_only_owners_and_managers_erase_and_export_and_nobody_of_another_workspace(
    installation: Installation, replica: Running, agent: Api, workspace: str
) -> None:
    ident = await spoken(installation, agent, workspace)
    contact = await contact_of(agent, ident)
    foreign = await installation.member(replica.base, "olivia", "another-one", "owner")
    for method, path in (("DELETE", f"/v1/contacts/{contact}"), ("GET", f"/v1/contacts/{contact}/export")):
        await agent.refused(method, path, 403, "FORBIDDEN")
        await foreign.refused(method, path, 404, "NOT_FOUND")
        await foreign.refused(method, path.replace(contact, "no-id"), 404, "NOT_FOUND")
    assert (await known(agent, ident, 6))["seq"] == 6


async def test_the_export_has_all_that_is_kept(
    installation: Installation, agent: Api, owner: Api, workspace: str
) -> None:
    ident = await spoken(installation, agent, workspace)
    contact = await contact_of(agent, ident)
    answer = await owner.call("GET", f"/v1/contacts/{contact}/export")
    assert answer.headers["content-disposition"] == f'attachment; filename="contact-{contact}.json"'
    document = answer.body
    assert document["contact"] == await agent.ok("GET", f"/v1/contacts/{contact}")
    assert document["conversation"] == await agent.ok("GET", f"/v1/conversations/{ident}")
    assert document["events"] == (await agent.ok("GET", f"/v1/conversations/{ident}/messages"))["items"]
    assert (document["workspace"], document["files"]) == (workspace, [])


async def test_a_long_thread_is_exported_whole(
    installation: Installation, agent: Api, owner: Api, workspace: str
) -> None:
    ident = await installation.says(workspace, "talkative", *[f"line {n}" for n in range(1_200)])
    await known(agent, ident, 1_202)
    document = await owner.ok("GET", f"/v1/contacts/{await contact_of(agent, ident)}/export")
    assert [event["seq"] for event in document["events"]] == list(range(1, 1_203))


async def test_a_batch_of_events_holds_words_and_their_erasure(
    installation: Installation, agent: Api, owner: Api, workspace: str
) -> None:
    """The customer goes on writing while they are erased: whatever the order, nothing of before stays."""
    ident = await spoken(installation, agent, workspace)
    contact = await contact_of(agent, ident)
    await installation.says(workspace, "customer-1", *[f"more {n}" for n in range(50)])
    answer = await owner.call("DELETE", f"/v1/contacts/{contact}")
    assert answer.status == 204
    await installation.says(workspace, "customer-1", "the end")

    async def whole() -> Any:
        found = await agent.call("GET", f"/v1/conversations/{ident}/messages?limit=200")
        items = found.body.get("items", [])
        return items if items and items[-1]["data"].get("message", {}).get("text") == "the end" else None

    items = await eventually(whole, "the last message is there")
    kinds = [item["type"].split(".")[2] for item in items]
    assert kinds[:3] == ["erased", "created", "opened"]
    assert [item["seq"] for item in items] == list(range(items[0]["seq"], items[-1]["seq"] + 1))


async def test_idle_contacts_are_erased_and_those_who_write_at_that_moment_are_not(
    installation: Installation, agent: Api, workspace: str
) -> None:
    idle, lively = [await spoken(installation, agent, workspace, who) for who in ("idle", "lively")]

    async def meanwhile() -> None:
        await installation.says(workspace, "lively", "wait!")
        await known(agent, lively, 7)

    assert await retaining(installation, Inbox(installation, workspace, meanwhile)).sweep() == 2
    await eventually(lambda: gone(agent, idle), "the idle one is gone")
    [rejected] = await eventually(
        lambda: installation.events(workspace, "command.rejected"), "the other one is refused"
    )
    assert rejected.headers["subject"] == lively.encode()
    assert (await agent.ok("GET", f"/v1/conversations/{lively}"))["last_message"]["text"] == "wait!"

    async def nothing() -> None: ...

    assert await retaining(installation, Inbox(installation, workspace, nothing)).sweep() == 1
    await eventually(lambda: gone(agent, lively), "the other one is gone, too")
    assert await retaining(installation, Inbox(installation, workspace, nothing)).sweep() == 0


async def test_what_is_not_idle_for_long_enough_stays(installation: Installation, agent: Api, workspace: str) -> None:
    await spoken(installation, agent, workspace)

    async def nothing() -> None: ...

    inbox = Inbox(installation, workspace, nothing)
    assert await retaining(installation, inbox, keep=timedelta(days=1)).sweep() == 0


class Inbox(InboxStore):
    """Of one workspace; something happens after each look."""

    def __init__(self, installation: Installation, workspace: str, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(installation.mongo)
        self._workspace, self._meanwhile = workspace, meanwhile

    async def workspaces(self) -> list[str]:
        assert self._workspace in await super().workspaces()
        return [self._workspace]

    async def idle(self, workspace: str, before: str, after: str, limit: int) -> list[ConversationState]:
        found = await super().idle(workspace, before, after, limit)
        await self._meanwhile()
        return found


def retaining(installation: Installation, inbox: InboxStore, keep: timedelta = timedelta(0)) -> Retaining:
    clock, commands = SystemClock(), CommandStore(installation.mongo)
    return Retaining(inbox, Commander(commands, Outcomes(commands, clock), installation.producer, clock), clock, keep)


async def gone(agent: Api, conversation: str) -> bool:
    return (await agent.call("GET", f"/v1/conversations/{conversation}")).status == 404
