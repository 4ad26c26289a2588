"""Members: who appears when, what may be set by whom, and what a deactivation ends."""

import asyncio
import json

import aiohttp
import pytest

from relaydesk.tokens import Person
from services.gateway.commanding import Commander
from services.gateway.directory import WATCH_EVERY_S, Directory
from services.gateway.membership import MemberState
from services.gateway.outcomes import Outcomes
from services.gateway.store.commands import CommandStore
from services.gateway.store.inbox import InboxStore
from services.gateway.store.members import MemberStore
from services.gateway.unassigning import Unassigning
from shared.contracts.resources import Member
from shared.runtime.clock import SystemClock
from shared.testing.api import Api
from shared.testing.eventually import eventually
from tests.integration.gateway.installation import Installation, Running, known


async def names(api: Api) -> dict[str, str]:
    return {member["id"]: member["role"] for member in (await api.ok("GET", "/v1/members"))["items"]}


def unassigning(installation: Installation) -> Unassigning:
    """As a replica that has just started would do it."""
    store, clock = CommandStore(installation.mongo), SystemClock()
    commander = Commander(store, Outcomes(store, clock), installation.producer, clock)
    return Unassigning(MemberStore(installation.mongo), InboxStore(installation.mongo), commander, clock)


async def test_a_member_appears_at_first_use_and_others_are_told_once(
    installation: Installation, owner: Api, agent: Api, replica: Running, second: Running, workspace: str
) -> None:
    assert await names(owner) == {"olivia": "owner"}
    elsewhere = await installation.member(second.base, "grace", workspace)
    await asyncio.gather(*(api.ok("GET", "/v1/counters") for api in (agent, elsewhere) for _ in range(8)))
    assert await names(owner) == {"olivia": "owner", "grace": "agent"}

    async def told() -> bool:
        events = [json.loads(record.value or b"") for record in await installation.events(workspace, "member.updated")]
        return sorted(event["subject"] for event in events) == ["grace", "olivia"]

    await eventually(told, "one member.updated each")


async def test_me_is_who_the_token_says(agent: Api, workspace: str) -> None:
    me = await agent.ok("GET", "/v1/me")
    assert me.pop("workspace") == workspace
    assert Member.model_validate(me).model_dump() == {
        "id": "grace",
        "name": "Grace",
        "role": "agent",
        "active": True,
        "presence": "offline",
        "version": 1,
    }


async def test_a_request_of_a_known_member_writes_nothing(
    installation: Installation, agent: Api, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agent.ok("GET", "/v1/me")
    asked: list[str] = []
    find = MemberStore.find

    async def counted(self: MemberStore, workspace: str, ident: str) -> object:
        asked.append(ident)
        return await find(self, workspace, ident)

    monkeypatch.setattr(MemberStore, "find", counted)
    for _ in range(5):
        await agent.ok("GET", "/v1/counters")
    assert asked == []
    row = await installation.db["members"].find_one({"_id": f"{workspace}:grace"})
    assert row is not None and row["version"] == 1


async def test_of_two_tokens_the_later_one_is_believed(
    installation: Installation, replica: Running, owner: Api, workspace: str
) -> None:
    early = installation.token(Person("kay", "Kay", "agent", workspace), lifetime_s=600)
    late = installation.token(Person("kay", "Kay Jay", "manager", workspace), lifetime_s=1200)
    for token in (early, late, early):
        async with Api(replica.base, token) as api:
            await api.ok("GET", "/v1/counters")
    row = await installation.db["members"].find_one({"_id": f"{workspace}:kay"})
    assert row is not None and (row["version"], row["claims"]["name"]) == (2, "Kay Jay")


async def test_a_role_that_was_set_counts_on_every_replica_and_is_audited(
    installation: Installation, owner: Api, agent: Api, second: Running, workspace: str
) -> None:
    elsewhere = await installation.member(second.base, "grace", workspace)
    await elsewhere.refused("PUT", "/v1/members/linus", 403, "FORBIDDEN", {"name": "Linus"})
    await owner.ok("PUT", "/v1/members/grace", {"role": "manager"})
    assert (await agent.ok("GET", "/v1/me"))["role"] == "manager"

    async def promoted() -> bool:
        return (await elsewhere.call("PUT", "/v1/members/linus", {"name": "Linus"})).status == 201

    await eventually(promoted, "the role on the other replica, before it forgets the member")
    audit = await installation.db["audit"].find({"workspace": workspace}).sort("at", 1).to_list(None)
    assert [(row["by"], row["subject"], row["after"]["role"]) for row in audit] == [
        ("agent:olivia", "grace", "manager"),
        ("agent:grace", "linus", "agent"),
    ]


async def test_a_member_can_be_prepared_and_named_before_coming(
    owner: Api, installation: Installation, replica: Running, workspace: str
) -> None:
    made = await owner.call("PUT", "/v1/members/kay", {"name": "Kay", "role": "manager"})
    assert (made.status, made.body["role"], made.body["active"]) == (201, "manager", True)
    kay = await installation.member(replica.base, "kay", workspace)
    me = await kay.ok("GET", "/v1/me")
    assert (me["name"], me["role"]) == ("Kay", "manager")
    again = await owner.call("PUT", "/v1/members/kay", {"name": "Kay", "role": "manager"})
    assert (again.status, again.body["version"]) == (200, me["version"])


async def test_what_a_role_may_not_set(
    owner: Api, agent: Api, installation: Installation, replica: Running, workspace: str
) -> None:
    manager = await installation.member(replica.base, "mary", workspace, "manager")
    await agent.refused("PUT", "/v1/members/grace", 403, "FORBIDDEN", {"role": "owner"})
    await owner.ok("GET", "/v1/me")
    await manager.refused("PUT", "/v1/members/grace", 403, "FORBIDDEN", {"role": "owner"})
    await manager.refused("PUT", "/v1/members/olivia", 403, "FORBIDDEN", {"active": False})
    await owner.refused("PUT", "/v1/members/olivia", 403, "FORBIDDEN", {"active": False})
    await manager.ok("PUT", "/v1/members/grace", {"role": "manager"})


@pytest.mark.parametrize(
    "body", [{}, {"role": "king"}, {"name": ""}, {"name": " "}, {"name": "x" * 201}, {"active": 1}, {"id": "x"}]
)
async def test_a_change_that_is_none_is_refused(owner: Api, body: dict[str, object]) -> None:
    await owner.refused("PUT", "/v1/members/grace", 422, "INVALID", body)


@pytest.mark.parametrize("ident", ["x" * 256, "%00", "%0a", "%E2%80%AE"])
async def test_an_id_that_is_none_is_not_found(owner: Api, ident: str) -> None:
    await owner.refused("PUT", f"/v1/members/{ident}", 404, "NOT_FOUND", {"name": "x"})


async def test_members_are_paged_by_id(owner: Api) -> None:
    for number in range(5):
        await owner.ok("PUT", f"/v1/members/m{number}", {"name": f"M {number}"})
    page = await owner.ok("GET", "/v1/members?limit=4")
    rest = await owner.ok("GET", f"/v1/members?limit=4&after={page['next']}")
    assert [member["id"] for member in page["items"] + rest["items"]] == ["m0", "m1", "m2", "m3", "m4", "olivia"]
    assert rest["next"] is None


async def looked(replica: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replica has begun a look at what changed since this was asked, and ended it."""
    [directory] = [part for part in replica.service.components if isinstance(part, Directory)]
    look, ended = directory._look, asyncio.Event()

    async def told() -> None:
        await look()
        ended.set()

    with monkeypatch.context() as patch:
        patch.setattr(directory, "_look", told)
        await eventually(ended.is_set, "a look of the other replica")


async def test_a_deactivated_member_is_refused_everywhere_after_one_look_at_what_changed(
    installation: Installation,
    owner: Api,
    agent: Api,
    second: Running,
    workspace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DESIGN 7 says within 5 s."""
    assert WATCH_EVERY_S <= 1
    elsewhere = await installation.member(second.base, "grace", workspace)
    made = await elsewhere.ok("POST", "/v1/stream/ticket")
    unused = await elsewhere.ok("POST", "/v1/stream/ticket")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(made["url"], params={"ticket": made["ticket"]}) as socket,
    ):
        await owner.ok("PUT", "/v1/members/grace", {"active": False})
        await agent.refused("GET", "/v1/me", 403, "DEACTIVATED")
        await looked(second, monkeypatch)
        await elsewhere.refused("GET", "/v1/counters", 403, "DEACTIVATED")
        async for _ in socket:
            pass
        assert socket.close_code == 4003
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(unused["url"], params={"ticket": unused["ticket"]})
    await owner.ok("PUT", "/v1/members/grace", {"active": True})
    assert (await agent.ok("GET", "/v1/me"))["active"] is True


async def test_open_conversations_of_a_deactivated_member_become_unassigned(
    installation: Installation, owner: Api, agent: Api, workspace: str
) -> None:
    one, two, closed = [await installation.says(workspace, f"customer-{number}", "hello") for number in range(3)]
    for ident in (one, two, closed):
        await known(agent, ident, 3)
        assert (await agent.reply(ident, "hi")).status == 201
    await agent.ok("POST", f"/v1/conversations/{closed}/close", {})
    await owner.ok("PUT", "/v1/members/grace", {"active": False})

    async def unassigned() -> bool:
        items = (await owner.ok("GET", "/v1/conversations?view=unassigned&status=open"))["items"]
        return {item["id"] for item in items} == {one, two}

    await eventually(unassigned, "both open ones without an owner")
    assert (await owner.ok("GET", f"/v1/conversations/{closed}"))["assignee"] == "grace"
    assert len(await installation.events(workspace, "conversation.assigned")) == 5
    await owner.refused("POST", f"/v1/conversations/{one}/assignment", 422, "UNKNOWN_MEMBER", {"assignee": "grace"})


async def test_unassigning_survives_the_death_of_who_began_it(
    installation: Installation, owner: Api, agent: Api, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replica that deactivates dies right after: the next sweep of any replica does it, here the test's own."""
    ident = await installation.says(workspace, "customer", "hello")
    await known(agent, ident, 3)
    await agent.reply(ident, "hi")
    sweeping, unassign = unassigning(installation), Unassigning._unassign

    async def only_ours(self: Unassigning, member: MemberState) -> int:
        return await unassign(self, member) if self is sweeping else 0

    monkeypatch.setattr(Unassigning, "_unassign", only_ours)
    await owner.ok("PUT", "/v1/members/grace", {"active": False})
    assert (await owner.ok("GET", f"/v1/conversations/{ident}"))["assignee"] == "grace"
    assert await sweeping.sweep() == 1

    async def unassigned() -> bool:
        return (await owner.ok("GET", f"/v1/conversations/{ident}"))["assignee"] is None

    await eventually(unassigned, "the conversation has no owner")
    assert await sweeping.sweep() == 0


async def test_all_replicas_sweeping_at_once_ask_once(
    installation: Installation, owner: Api, agent: Api, workspace: str
) -> None:
    ident = await installation.says(workspace, "customer", "hello")
    await known(agent, ident, 3)
    await agent.reply(ident, "hi")
    await owner.ok("PUT", "/v1/members/grace", {"active": False})
    await asyncio.gather(*(unassigning(installation).sweep() for _ in range(3)))

    async def unassigned() -> bool:
        return (await owner.ok("GET", f"/v1/conversations/{ident}"))["assignee"] is None

    await eventually(unassigned, "the conversation has no owner")
    assert await installation.db["commands"].count_documents({"workspace": workspace, "member": ""}) == 1
    assert await installation.events(workspace, "command.repeated") == []
