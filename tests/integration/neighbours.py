"""The services that others ask: a gateway that believes every token, and dispatch with deliveries as a test likes."""

import base64
import json
from typing import Any

from aiohttp import web

from tests.integration.double import Double


class Neighbours(Double):
    """`async with`: listens on a free port; `open` are channels with deliveries under way, `away` answers 500.

    `conversations`: id -> workspace.
    """

    def __init__(self) -> None:
        super().__init__(
            [
                web.get("/v1/me", self._me),
                web.get("/v1/deliveries", self._deliveries),
                web.get("/v1/conversations/{conversation_id}", self._conversation),
            ]
        )
        self.open: set[str] = set()
        self.asked_by: list[str] = []
        self.away = False
        self.conversations: dict[str, str] = {}

    async def _conversation(self, request: web.Request) -> web.Response:
        known = self.conversations.get(request.match_info["conversation_id"])
        status = 500 if self.away else 200 if known == _claims(request)["workspace"] else 404
        return web.json_response({"code": "NOT_FOUND"}, status=status)

    async def _me(self, request: web.Request) -> web.Response:
        member = _claims(request)
        return web.json_response({"role": member["role"], "name": member["name"], "active": True})

    async def _deliveries(self, request: web.Request) -> web.Response:
        self.asked_by.append(request.headers["Authorization"])
        assert request.query["state"] == "open"
        items = [{"id": "m-1"}] if request.query["channel_id"] in self.open else []
        return web.json_response({"items": items, "next": None}, status=500 if self.away else 200)


def _claims(request: web.Request) -> dict[str, Any]:
    claims = request.headers["Authorization"].split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    return found
