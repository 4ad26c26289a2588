"""What one service makes of another's answer: the caller's own 429 goes on, everything else that fails is a 503."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from aiohttp import web

from shared.runtime.problems import Problem
from shared.runtime.service_client import ServiceClient


@dataclass
class Other:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.Response:
        return web.Response(status=self.status, body=b"{}", headers=self.headers)


@dataclass
class Scene:
    other: Other
    client: ServiceClient


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    other, app = Other(), web.Application()
    app.router.add_route("*", "/v1/thing", other.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = ServiceClient(f"http://127.0.0.1:{runner.addresses[0][1]}", "snippets")
    await client.start()
    yield Scene(other, client)
    await client.stop()
    await runner.cleanup()


ASKING: list[Callable[[ServiceClient], Awaitable[object]]] = [
    lambda client: client.get("/v1/thing", "token", {}),
    lambda client: client.find("/v1/thing", "token"),
    lambda client: client.post("/v1/thing", "token", {}),
]


@pytest.mark.parametrize("ask", ASKING)
@pytest.mark.parametrize(("given", "wait"), [("7", "7"), ("", "1"), ("0", "1"), ("soon", "1")])
async def test_the_callers_429_goes_on_with_the_seconds_to_wait(
    scene: Scene, ask: Callable[[ServiceClient], Awaitable[object]], given: str, wait: str
) -> None:
    scene.other.status, scene.other.headers = 429, {"Retry-After": given}
    with pytest.raises(Problem) as caught:
        await ask(scene.client)
    problem = caught.value
    assert (problem.status, problem.code, problem.headers) == (429, "TOO_MANY_REQUESTS", {"Retry-After": wait})
    assert "snippets" in problem.detail


@pytest.mark.parametrize("ask", ASKING[:2])
@pytest.mark.parametrize("status", [302, 401, 500, 503])
async def test_every_other_failure_is_a_503(
    scene: Scene, ask: Callable[[ServiceClient], Awaitable[object]], status: int
) -> None:
    scene.other.status = status
    with pytest.raises(Problem) as caught:
        await ask(scene.client)
    assert caught.value.status == 503
