"""What callers of a running system get for bad input, wrong tokens, and from probes."""

import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from relaydesk.installation import known_secrets
from relaydesk.tokens import Person, mint
from shared.testing.api import Answer, Api, Channel, Patient, answers_well, said, someone
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
        for path in ("/healthz", "/readyz", "/metrics"):
            await answers_well(service["probe"], path)


@pytest_asyncio.fixture
async def counted(system: System) -> AsyncIterator[tuple[Api, Channel, Follower]]:
    """An agent, a channel and a stream of a workspace in which nothing else happens."""
    private, workspace = known_secrets(system.folder / "data").jwt_private, f"counted-{uuid.uuid4().hex[:8]}"
    people = [Person(f"{role}-1", role.title(), role, workspace) for role in ("owner", "agent")]
    tokens, base = [mint(private, person) for person in people], system.info["api"]
    async with Patient(base, tokens[0]) as owner, Patient(base, tokens[1]) as agent:
        made = await owner.ok("POST", "/v1/channels", {"kind": "webhook", "name": "counted"})
        async with Follower(agent, system.info["stream"]) as stream:
            yield agent, Channel(owner, made["id"], made["secret"]), stream


async def test_counters_follow_a_conversation(counted: tuple[Api, Channel, Follower]) -> None:
    agent, channel, stream = counted
    who = someone()

    async def are(**wanted: int) -> bool:
        counters: dict[str, int] = await agent.ok("GET", "/v1/counters")
        return wanted.items() <= counters.items()

    assert await are(open=0, unassigned=0, mine=0, unread=0)
    await channel.say(who, "hi")
    conversation = await stream.conversation_of(who)
    await eventually(lambda: are(open=1, unassigned=1, mine=0, unread=1), "a new conversation counts")
    await agent.reply(conversation, "hello")
    await eventually(lambda: are(open=1, unassigned=0, mine=1, unread=0), "a reply claims and reads")
    await agent.ok("POST", f"/v1/conversations/{conversation}/close", {})
    await eventually(lambda: are(open=0, unassigned=0, mine=0, unread=0), "closed ones do not count")
