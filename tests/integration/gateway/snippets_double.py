"""A snippets service with two snippets: one renders, one lacks a value; it can be away."""

from types import TracebackType

from aiohttp import web


class Snippets:
    """`async with`: listens on a free port; `away` answers 500."""

    def __init__(self) -> None:
        self.rendered = 0
        self.away = False
        app = web.Application()
        app.add_routes([web.post("/v1/snippets/{snippet_id}/render", self._render)])
        self._runner = web.AppRunner(app)
        self.url = ""

    async def __aenter__(self) -> "Snippets":
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

    async def _render(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"].startswith("Bearer ")
        assert len((await request.json())["contact_id"]) == 36
        if self.away:
            return web.json_response({"code": "INTERNAL"}, status=500)
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
