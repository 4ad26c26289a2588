"""The services that the gateway asks: snippets with two of them (one renders, one lacks a value), and media."""

from typing import Any

from aiohttp import web

from tests.integration.double import Double


class Neighbours(Double):
    """`async with`: listens on a free port; `away` answers 500, `busy` (snippets) 429. `media`: what it answers, by id;
    others are 404.
    """

    def __init__(self) -> None:
        super().__init__(
            [
                web.post("/v1/snippets/{snippet_id}/render", self._render),
                web.get("/v1/media/{media_id}", self._media),
            ]
        )
        self.rendered = 0
        self.away = self.busy = False
        self.media: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []

    async def _render(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"].startswith("Bearer ")
        assert len((await request.json())["contact_id"]) == 36
        if self.away:
            return web.json_response({"code": "INTERNAL"}, status=500)
        if self.busy:
            return web.json_response({"code": "TOO_MANY_REQUESTS"}, status=429, headers={"Retry-After": "2"})
        self.rendered += 1
        match request.match_info["snippet_id"]:
            case "greeting":
                return web.json_response({"text": f"Hello Ada, take {self.rendered}", "variables": []})
            case "lacking":
                problem = {
                    "code": "MISSING_VALUE",
                    "detail": "No email.",
                    "status": 409,
                    "variables": ["contact.email"],
                }
                return web.json_response(problem, status=409)
            case _:
                return web.json_response({"code": "NOT_FOUND", "detail": "No."}, status=404)

    async def _media(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"].startswith("Bearer ")
        self.asked.append(request.match_info["media_id"])
        if self.away:
            return web.json_response({"code": "INTERNAL"}, status=500)
        found = self.media.get(request.match_info["media_id"])
        return web.json_response(found or {"code": "NOT_FOUND"}, status=200 if found else 404)
