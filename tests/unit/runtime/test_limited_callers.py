"""How often a member may ask, at the door of an API: after the token is verified, before anything else is done."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from shared.runtime.auth import Principal
from shared.runtime.http import Access, Caller, api, route
from shared.runtime.metrics import Metrics
from tests.unit.runtime.asgi import Answer, call
from tests.unit.runtime.tokens import StillClock, gate, token

BURST = 5


@dataclass
class Directory:
    asked: list[str] = field(default_factory=list)

    async def effective(self, principal: Principal) -> Principal:
        self.asked.append(principal.member_id)
        return principal


@dataclass
class Api:
    app: FastAPI
    directory: Directory
    clock: StillClock

    async def me(self, bearer: str) -> Answer:
        return await call(self.app, "GET", "/v1/me", headers={"authorization": f"Bearer {bearer}"})

    async def statuses(self, bearer: str, times: int) -> list[int]:
        return [(await self.me(bearer)).status for _ in range(times)]


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> Api:
    doors = await gate(tmp_path, member_rate=1, member_burst=BURST, workspace_rate=2, workspace_burst=2 * BURST)
    directory = Directory()
    app = api("gateway", Access(doors.verifier, directory, doors.limits), Metrics())

    @route(app, "GET", "/v1/me")
    async def me(principal: Caller) -> dict[str, str]:
        return {"id": principal.member_id}

    @route(app, "PUT", "/v1/members/{member_id}")
    async def put_member(member_id: str, principal: Caller) -> dict[str, str]:
        return {"id": member_id}

    @route(app, "POST", "/v1/stream/ticket")
    async def ticket(principal: Caller) -> dict[str, str]:
        return {}

    return Api(app, directory, doors.clock)


async def test_over_the_rate_is_a_documented_problem_and_a_second_later_all_is_well(served: Api) -> None:
    assert await served.statuses(token(), BURST) == [200] * BURST
    refused = await served.me(token())
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json["code"] == "TOO_MANY_REQUESTS"
    served.clock.advance(1)
    assert await served.statuses(token(), 2) == [200, 429]


async def test_all_tokens_and_all_routes_of_a_member_share_one_limit(served: Api) -> None:
    headers = {"authorization": f"Bearer {token('RS256', 'RS256')}"}
    assert (await call(served.app, "POST", "/v1/stream/ticket", b"", headers)).status == 200
    assert await served.statuses(token(), BURST) == [200] * (BURST - 1) + [429]


async def test_a_token_that_does_not_verify_takes_nothing_from_the_member_it_names(served: Api) -> None:
    forged, expired = token(key=Ed25519PrivateKey.generate()), token(exp=1)
    for bad in (forged, expired, token(aud="others"), token()[:-4] + "AAAA", "nonsense"):
        assert await served.statuses(bad, 2 * BURST) == [401] * 2 * BURST
    assert await served.statuses(token(), BURST) == [200] * BURST


async def test_a_workspace_whose_share_is_used_up_does_not_hold_up_another_one(served: Api) -> None:
    for member in ("m-1", "m-2"):
        assert await served.statuses(token(sub=member), BURST) == [200] * BURST
    assert (await served.me(token(sub="m-3"))).status == 429
    assert (await served.me(token(sub="m-3", workspace="globex"))).status == 200


async def test_who_is_over_the_limit_costs_no_look_at_the_directory_and_no_body(served: Api) -> None:
    await served.statuses(token(), BURST + 3)
    assert served.directory.asked == ["m-1"] * BURST
    endless = {"authorization": f"Bearer {token()}", "content-length": "9" * 12}
    assert (await call(served.app, "PUT", "/v1/members/m-2", b"{", endless)).status == 429


@pytest.mark.parametrize(("method", "path", "status"), [("PUT", "/v1/members/m-2", 403), ("GET", "/v1/nothing", 404)])
async def test_what_a_role_may_not_do_counts_and_what_needs_no_token_does_not(
    served: Api, method: str, path: str, status: int
) -> None:
    headers = {"authorization": f"Bearer {token()}"}
    answers = [await call(served.app, method, path, b"", headers) for _ in range(BURST + 1)]
    assert [answer.status for answer in answers] == [status] * BURST + [429 if status == 403 else status]
