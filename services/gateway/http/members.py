"""The members of a workspace: oneself, the list, and what owners and managers may set."""

from typing import Annotated

from fastapi import FastAPI, Path

from services.gateway.bodies import MemberBody
from services.gateway.http.answers import plain
from services.gateway.http.gateway import Gateway
from services.gateway.membership import Change, MemberState
from shared.runtime.http import Caller, Json, Limit, Problem, not_found, route

MAX_ID = 255


class MemberRoutes:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def add(self, app: FastAPI) -> None:
        route(app, "GET", "/v1/me")(self.me)
        route(app, "GET", "/v1/members")(self.listed)
        route(app, "PUT", "/v1/members/{member_id}")(self.put)

    async def me(self, principal: Caller) -> Json:
        member = await self._gateway.directory.find(principal.workspace, principal.member_id)
        shown = member or MemberState(principal.workspace, principal.member_id)
        return Json({**self._shown(shown), "workspace": principal.workspace})

    async def listed(self, principal: Caller, limit: Limit = 200, after: str | None = None) -> Json:
        """By id; `after` = the last id of the page before."""
        members = await self._gateway.members.listed(principal.workspace, limit, after)
        following = members[-1].id if len(members) == limit else None
        return Json({"items": [self._shown(member) for member in members], "next": following})

    async def put(self, principal: Caller, member_id: Annotated[str, Path()], body: MemberBody) -> Json:
        """Somebody who never came may be prepared for: a member is made, 201."""
        if not member_id.isprintable() or len(member_id) > MAX_ID:
            raise not_found("There is no such member.")
        change = Change(body.role, body.name.strip() if body.name else None, body.active)
        if change == Change():
            raise Problem(422, "INVALID", "Name at least one of role, name and active.")
        member = await self._gateway.directory.change(principal, member_id, change)
        if not member.active:
            self._gateway.unassigning.soon()
        return Json(self._shown(member), 201 if member.version == 1 else 200)

    def _shown(self, member: MemberState) -> dict[str, object]:
        presence = self._gateway.stream.presence_of(member.workspace, member.id)
        return plain(member.shown(presence if member.active else "offline"))
