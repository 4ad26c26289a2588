"""A bot that says beep, called as a `webhook` bot is."""

from types import TracebackType

from aiohttp import web


class Bot:
    """`async with`; `url` is what the channel's bot settings need."""

    def __init__(self) -> None:
        app = web.Application()
        app.add_routes([web.post("/bot", self._answer)])
        self._runner = web.AppRunner(app)
        self.url = ""

    async def __aenter__(self) -> "Bot":
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/bot"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        asked = await request.json()
        return web.json_response({"replies": [{"text": f"beep {asked['message']['text']}"}]})
