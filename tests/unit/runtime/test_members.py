"""Other services ask the gateway who a member is now; the answer lasts three seconds, and one question serves many."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import orjson
import pytest
import pytest_asyncio
from aiohttp import web

from shared.runtime.auth import Principal
from shared.runtime.members import RemoteMembers
from shared.runtime.problems import Problem
from tests.unit.runtime.tokens import NOW, StillClock

ANN = Principal("acme", "m-1", "agent", "Ann", NOW, "her-token")


@dataclass
class Gateway:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: object = field(default_factory=lambda: {"id": "m-1", "role": "manager", "name": "Ann B.", "active": True})
    questions: list[str] = field(default_factory=list)
    hold: asyncio.Event | None = None

    async def me(self, request: web.Request) -> web.Response:
        self.questions.append(request.headers["Authorization"])
        if self.hold is not None:
            await self.hold.wait()
        return web.Response(status=self.status, body=orjson.dumps(self.content), headers=self.headers)


@dataclass
class Scene:
    gateway: Gateway
    members: RemoteMembers
    clock: StillClock


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    gateway, clock = Gateway(), StillClock()
    app = web.Application()
    app.router.add_get("/v1/me", gateway.me)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    members = RemoteMembers(f"http://127.0.0.1:{port}", clock)
    await members.start()
    yield Scene(gateway, members, clock)
    await members.stop()
    await runner.cleanup()


async def refused(members: RemoteMembers, principal: Principal = ANN) -> Problem:
    with pytest.raises(Problem) as problem:
        await members.effective(principal)
    return problem.value


async def test_the_role_of_the_workspace_overrides_the_tokens(scene: Scene) -> None:
    effective = await scene.members.effective(ANN)
    assert (effective.role, effective.name, effective.token) == ("manager", "Ann B.", "her-token")
    assert scene.gateway.questions == ["Bearer her-token"]


async def test_an_answer_lasts_three_seconds(scene: Scene) -> None:
    await scene.members.effective(ANN)
    scene.gateway.content = {"role": "owner", "name": "Ann", "active": True}
    scene.clock.advance(2.9)
    assert (await scene.members.effective(ANN)).role == "manager"
    scene.clock.advance(0.2)
    assert (await scene.members.effective(ANN)).role == "owner"


async def test_a_deactivated_member_is_refused_within_five_seconds(scene: Scene) -> None:
    await scene.members.effective(ANN)
    scene.gateway.status = 403
    scene.clock.advance(3.1)
    problem = await refused(scene.members)
    assert (problem.status, problem.code) == (403, "DEACTIVATED")
    await refused(scene.members)
    assert len(scene.gateway.questions) == 2


async def test_a_hundred_requests_at_once_ask_once(scene: Scene) -> None:
    scene.gateway.hold = asyncio.Event()
    asking = [asyncio.create_task(scene.members.effective(ANN)) for _ in range(100)]
    await asyncio.sleep(0)
    asking[0].cancel()  # a caller that gives up must not take the others' answer along
    scene.gateway.hold.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {answer.role for answer in answers[1:] if isinstance(answer, Principal)} == {"manager"}
    assert len(scene.gateway.questions) == 1


async def test_members_of_the_same_name_in_two_workspaces_are_two(scene: Scene) -> None:
    await scene.members.effective(ANN)
    await scene.members.effective(Principal("globex", "m-1", "agent", "Ann", NOW, "other"))
    assert scene.gateway.questions == ["Bearer her-token", "Bearer other"]


@pytest.mark.parametrize("status", [500, 502, 503, 302, 404])
async def test_a_gateway_in_trouble_is_a_503_and_not_remembered(scene: Scene, status: int) -> None:
    scene.gateway.status = status
    assert (await refused(scene.members)).status == 503
    scene.gateway.status = 200
    assert (await scene.members.effective(ANN)).role == "manager"


async def test_whom_the_gateway_lets_wait_is_told_so_and_nothing_is_remembered(scene: Scene) -> None:
    scene.gateway.status, scene.gateway.headers = 429, {"Retry-After": "3"}
    problem = await refused(scene.members)
    assert (problem.status, problem.code, problem.headers) == (429, "TOO_MANY_REQUESTS", {"Retry-After": "3"})
    scene.gateway.status = 200
    assert (await scene.members.effective(ANN)).role == "manager"


@pytest.mark.parametrize("content", ["x", {"role": "admin", "name": "x"}, [], {"name": "x"}])
async def test_an_answer_that_cannot_be_read_is_a_503(scene: Scene, content: object) -> None:
    scene.gateway.content = content
    assert (await refused(scene.members)).status == 503


async def test_a_member_that_the_gateway_calls_inactive_is_refused(scene: Scene) -> None:
    scene.gateway.content = {"role": "agent", "name": "Ann", "active": False}
    assert (await refused(scene.members)).code == "DEACTIVATED"


async def test_no_gateway_is_a_503() -> None:
    members = RemoteMembers("http://127.0.0.1:9")
    await members.start()
    try:
        assert (await refused(members)).status == 503
    finally:
        await members.stop()
