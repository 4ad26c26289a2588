"""I6: no route shows or touches what belongs to another workspace; roles and tokens are checked on each."""

import uuid
from typing import Any

import pytest

from shared.contracts.routes import ROUTES, Route
from shared.testing.api import Api
from tests.integration.gateway.installation import Installation, Running

OURS = [route for route in ROUTES if route.service == "gateway"]
BODIES: dict[str, Any] = {
    "/messages": {"text": "x"},
    "/notes": {"text": "x"},
    "/assignment": {"assignee": None},
    "/bot": {"enabled": False},
    "/close": {},
    "/reopen": {},
    "/read": {"up_to_seq": 1},
    "/v1/contacts/{contact_id}": {"name": "x"},
    "/v1/members/{member_id}": {"name": "x"},
}


def body_of(route: Route) -> Any:
    if route.method in ("GET", "DELETE"):
        return None
    return next((body for tail, body in BODIES.items() if route.path.endswith(tail)), None)


def names(route: Route) -> bool:
    """Whether the route names something that belongs to a workspace (a member is the caller's own workspace's)."""
    return "{" in route.path and "{member_id}" not in route.path


@pytest.mark.parametrize("route", [r for r in OURS if names(r)], ids=lambda r: f"{r.method} {r.path}")
async def test_an_id_of_another_workspace_does_not_exist(
    installation: Installation,
    replica: Running,
    agent: Api,
    owner: Api,
    workspace: str,
    conversation: str,
    route: Route,
) -> None:
    """Not even for an owner there."""
    stranger = await installation.member(replica.base, "olivia", f"w-{uuid.uuid4().hex[:12]}", "owner")
    await agent.reply(conversation, "hi")
    contact = (await agent.ok("GET", f"/v1/conversations/{conversation}"))["contact"]["id"]
    command = await installation.db["commands"].find_one({"workspace": workspace})
    assert command is not None
    path = route.path.format(conversation_id=conversation, contact_id=contact, command_id=command["_id"])
    events = len(await installation.events(workspace))
    theirs = await stranger.refused(route.method, path, 404, "NOT_FOUND", body_of(route))
    nobodys = route.path.format(**dict.fromkeys(("conversation_id", "contact_id", "command_id"), str(uuid.uuid4())))
    none = await stranger.refused(route.method, nobodys, 404, "NOT_FOUND", body_of(route))
    assert theirs == none, "a foreign id answers exactly as one that is nobody's"
    caller = agent if route.roles is not None and "agent" in route.roles else owner
    assert (await caller.call(route.method, path, body_of(route))).status in (200, 201, 204)
    assert len(await installation.events(workspace)) >= events


async def test_lists_and_counters_are_the_own_workspaces(agent: Api, stranger: Api, conversation: str) -> None:
    assert (await stranger.ok("GET", "/v1/conversations?limit=200"))["items"] == []
    assert set((await stranger.ok("GET", "/v1/counters")).values()) == {0}
    assert [member["id"] for member in (await stranger.ok("GET", "/v1/members"))["items"]] == ["grace"]
    mine = await agent.ok("GET", "/v1/conversations")
    foreign = await stranger.call("GET", f"/v1/conversations?after={mine['next'] or 'MjAyNg=='}")
    assert foreign.body["items"] == []


async def test_the_same_member_id_in_two_workspaces_is_two_members(agent: Api, stranger: Api, owner: Api) -> None:
    await stranger.ok("GET", "/v1/me")
    await owner.ok("PUT", "/v1/members/grace", {"active": False})
    await agent.refused("GET", "/v1/me", 403, "DEACTIVATED")
    assert (await stranger.ok("GET", "/v1/me"))["active"] is True


@pytest.mark.parametrize("route", OURS, ids=lambda r: f"{r.method} {r.path}")
@pytest.mark.parametrize("token", [None, "x.y.z"])
async def test_without_a_good_token_no_route_answers(replica: Running, route: Route, token: str | None) -> None:
    path = route.path.format(**dict.fromkeys(("conversation_id", "contact_id", "command_id", "member_id"), "x"))
    async with Api(replica.base, token) as nobody:
        await nobody.refused(route.method, path, 401, "UNAUTHENTICATED", body_of(route))


@pytest.mark.parametrize(
    "route", [r for r in OURS if r.roles is not None and "agent" not in r.roles], ids=lambda r: f"{r.method} {r.path}"
)
async def test_agents_may_not_what_owners_and_managers_may(
    agent: Api, owner: Api, conversation: str, route: Route
) -> None:
    contact = (await agent.ok("GET", f"/v1/conversations/{conversation}"))["contact"]["id"]
    path = route.path.format(member_id="kay", contact_id=contact)
    await agent.refused(route.method, path, 403, "FORBIDDEN", body_of(route))
    assert (await owner.call(route.method, path, body_of(route))).status in (200, 201, 204)
