"""Other services as a test needs them, on a free port."""

from collections.abc import Iterable
from types import TracebackType
from typing import TypeVar

from aiohttp import web

D = TypeVar("D", bound="Double")


class Double:
    """`async with`: listens; `url` is its base URL. Knows the public API only."""

    def __init__(self, routes: Iterable[web.RouteDef]) -> None:
        app = web.Application()
        app.add_routes(routes)
        self._runner = web.AppRunner(app)
        self.url = ""

    async def __aenter__(self: D) -> D:
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
