"""The services that others ask: a gateway that believes every token, and dispatch with deliveries as a test likes."""

import base64
import json
from types import TracebackType
from typing import Any

from aiohttp import web


class Neighbours:
    """`async with`: listens on a free port; `open` are channels with deliveries under way, `away` answers 500.

    `conversations`: id -> workspace.
    """

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.asked_by: list[str] = []
        self.away = False
        self.conversations: dict[str, str] = {}
        app = web.Application()
        app.add_routes([web.get("/v1/conversations/{conversation_id}", self._conversation)])
        app.add_routes([web.get("/v1/me", self._me), web.get("/v1/deliveries", self._deliveries)])
        self._runner = web.AppRunner(app)
        self.url = ""

    async def __aenter__(self) -> "Neighbours":
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

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
