"""The routes of ingest. Each handler only translates between HTTP and `Intake` or `Registry`."""

import re
from typing import Any

from fastapi import FastAPI, Response
from starlette.datastructures import Headers

from services.ingest.channels import KINDS
from services.ingest.handlers import Doorkeeper, Intake
from services.ingest.registry import Deliveries, Registry
from services.ingest.requests import ChannelChange, NewChannel
from shared.contracts.capabilities import capabilities_of
from shared.contracts.ids import UUID_PATTERN
from shared.contracts.outbound import ChannelRecord
from shared.contracts.routes import WRITERS
from shared.runtime.auth import Principal
from shared.runtime.http import Caller, Json, Limit, Problem, direct_route, route

_CURSOR = re.compile(UUID_PATTERN)
_MAX_BODY = max(kind.max_body for kind in KINDS.values())


def inbound_routes(app: FastAPI, doorkeeper: Doorkeeper, intake: Intake) -> None:
    async def take(channel_id: str, headers: Headers, body: bytes) -> Response:
        ids = await intake.take(channel_id, headers, body)
        return Json({"accepted": len(ids), "ids": ids}, 202)

    direct_route(app, "POST", "/v1/inbound/{channel_id}", take, status=202, max_body=_MAX_BODY)

    @route(app, "GET", "/v1/inbound/{channel_id}")
    async def challenge(channel_id: str) -> Response:
        await doorkeeper.channel(channel_id)
        raise Problem(405, "METHOD_NOT_ALLOWED", "A channel of this kind asks nothing.", headers={"Allow": "POST"})


def channel_routes(app: FastAPI, registry: Registry, deliveries: Deliveries) -> None:
    @route(app, "GET", "/v1/channels")
    async def page(principal: Caller, limit: Limit = 50, after: str = "") -> Response:
        if after and not _CURSOR.fullmatch(after):
            raise Problem(400, "BAD_CURSOR", "`after` is none of our cursors; start again without it.")
        found = await registry.page(principal, after, limit + 1)
        items = [shown(channel, principal) for channel in found[:limit]]
        return Json({"items": items, "next": items[-1]["id"] if len(found) > limit else None})

    @route(app, "POST", "/v1/channels", status=201)
    async def create(principal: Caller, new: NewChannel) -> Response:
        made = await registry.create(principal, new)
        return Json({**shown(made.channel, principal), "secret": made.secret}, 201)

    @route(app, "GET", "/v1/channels/{channel_id}")
    async def read(principal: Caller, channel_id: str) -> Response:
        return Json(shown(await registry.read(principal, channel_id), principal))

    @route(app, "PATCH", "/v1/channels/{channel_id}")
    async def change(principal: Caller, channel_id: str, changes: ChannelChange) -> Response:
        return Json(shown(await registry.change(principal, channel_id, changes), principal))

    @route(app, "DELETE", "/v1/channels/{channel_id}", status=204)
    async def delete(principal: Caller, channel_id: str) -> Response:
        await registry.delete(principal, channel_id, deliveries)
        return Response(status_code=204)

    @route(app, "POST", "/v1/channels/{channel_id}/secret")
    async def rotate(principal: Caller, channel_id: str) -> Response:
        made = await registry.rotate(principal, channel_id)
        return Json({**shown(made.channel, principal), "secret": made.secret})


def shown(channel: ChannelRecord, principal: Principal) -> dict[str, Any]:
    """The channel as this member may see it; never its secrets."""
    capabilities = capabilities_of(channel.kind, channel.settings).model_dump(mode="json")
    public = {"id": channel.id, "kind": channel.kind, "name": channel.name, "capabilities": capabilities}
    if principal.role not in WRITERS:
        return public
    return {**public, "settings": channel.settings, "bot": channel.bot.model_dump() if channel.bot else None}
