"""How often a member may ask, at a service as it runs."""

import asyncio
from typing import Any

from shared.testing.api import Api
from shared.testing.eventually import eventually

LIMITED: dict[str, Any] = {"member_rate": 1.0, "member_burst": 2.0}
"""Settings of a replica that is soon busy."""


async def assert_limited(api: Api, path: str, method: str = "GET") -> None:
    """Of a replica with `LIMITED` that nobody has asked yet: two are served, more are refused for a second."""
    answers = await asyncio.gather(*(api.call(method, path) for _ in range(10)))
    refused = [answer for answer in answers if answer.status == 429]
    assert {answer.status for answer in answers} == {200, 429}
    assert len(answers) - len(refused) >= 2
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert {answer.body["code"] for answer in refused} == {"TOO_MANY_REQUESTS"}

    async def served() -> bool:
        return (await api.call(method, path)).status == 200

    await eventually(served, "a second later the member is served again")
