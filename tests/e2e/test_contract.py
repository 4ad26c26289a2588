"""What callers of a running system get for bad input, wrong tokens, and from probes."""

import time
import uuid
from typing import Any

import pytest

from shared.testing.api import Answer, Api, Channel, said, someone
from shared.testing.eventually import eventually
from shared.testing.follower import Follower
from shared.testing.system import System


def assert_problem(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status, answer
    assert "application/problem+json" in answer.headers["content-type"]
    assert answer.body["code"] == code, answer.body
    assert set(answer.body) >= {"type", "title", "status", "code", "detail"}


async def test_a_refused_body_leaves_nothing_behind(
    system: System, agent: Api, public: Api, channel: Channel, stream: Follower
) -> None:
    who = someone()
    good, body = said(who, "must not arrive"), b'{"events": []}'
    other_secret = Channel(public, channel.ident, "whsec_" + "QUFB" * 8)
    assert_problem(await other_secret.post([good]), 401, "BAD_SIGNATURE")
    assert_problem(await channel.post_raw(body, at=time.time() - 3600), 401, "BAD_SIGNATURE")
    tampered = await public.call("POST", f"/v1/inbound/{channel.ident}", body + b" ", channel.signed(body))
    assert_problem(tampered, 401, "BAD_SIGNATURE")
    nowhere = Channel(public, str(uuid.uuid4()), system.info["channel"]["secret"])
    assert_problem(await nowhere.post([good]), 404, "NOT_FOUND")
    for raw in (b"{not json", b"[" * 100_000, b'{"events": 1}', b"[]", b'{"events": [1]}'):
        assert_problem(await channel.post_raw(raw), 400, "MALFORMED")
    bad = await channel.post([good, {"type": "message", "from": {"id": who}, "text": "no id"}])
    assert_problem(bad, 400, "MALFORMED")
    assert {e["index"] for e in bad.body["errors"]} == {1}
    assert_problem(await channel.post([good, said(who, "x" * 16_385)]), 400, "TOO_LARGE")
    assert_problem(await channel.post([good] * 1001), 413, "BODY_TOO_LARGE")
    assert_problem(await channel.post_raw(b" " * (1 << 20) + b" {}"), 413, "BODY_TOO_LARGE")

    marker = someone()
    await channel.say(marker, "arrives")
    await stream.conversation_of(marker)
    seen = [e["data"]["contact"]["external_id"] for e in stream.events if "contact" in e["data"]]
    assert who not in seen


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/conversations"), ("GET", "/v1/counters"), ("POST", "/v1/stream/ticket"), ("GET", "/v1/channels")],
)
@pytest.mark.parametrize("token", [None, "x.y.z", ""])
async def test_without_a_good_token_nothing_is_answered(
    system: System, method: str, path: str, token: str | None
) -> None:
    async with Api(system.info["api"], token) as nobody:
        assert_problem(await nobody.call(method, path), 401, "UNAUTHENTICATED")


async def test_agents_may_not_touch_channels_and_see_no_settings(agent: Api) -> None:
    assert_problem(await agent.call("POST", "/v1/channels", {"kind": "webhook", "name": "x"}), 403, "FORBIDDEN")
    items: list[dict[str, Any]] = (await agent.ok("GET", "/v1/channels"))["items"]
    assert items
    assert all("settings" not in item and "secret" not in item for item in items)


@pytest.mark.parametrize("ident", ["%00%ff", "nobody", "..%2f..", "4c1a7d3e-52b8-4f06-9d1e-a3b7c5e2f840"])
async def test_an_id_that_is_none_is_not_found(agent: Api, ident: str) -> None:
    answer = await agent.call("GET", f"/v1/conversations/{ident}")
    assert answer.status in (400, 404)
    assert "application/problem+json" in answer.headers["content-type"]


async def test_every_service_answers_its_probes(system: System) -> None:
    for service in system.info["services"].values():
        async with Api(service["probe"], None) as probe:
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await probe.call("GET", path)).status == 200


async def test_counters_follow_a_conversation(agent: Api, channel: Channel, stream: Follower) -> None:
    who = someone()
    before = await agent.ok("GET", "/v1/counters")
    await channel.say(who, "hi")
    conversation = await stream.conversation_of(who)

    async def counted(**change: int) -> bool:
        now = await agent.ok("GET", "/v1/counters")
        return all(now[name] == before[name] + more for name, more in change.items())

    await eventually(lambda: counted(open=1, unassigned=1, mine=0, unread=1), "a new conversation counts")
    await agent.reply(conversation, "hello")
    await eventually(lambda: counted(open=1, unassigned=0, mine=1, unread=0), "a reply claims and reads")
    await agent.ok("POST", f"/v1/conversations/{conversation}/close", {})
    await eventually(lambda: counted(open=0, unassigned=0, mine=0, unread=0), "closed ones do not count")
