"""Traces across the processes of a whole system, as a collector gets them."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

import pytest
import pytest_asyncio

from shared.testing.adapter import Adapter
from shared.testing.api import Api, Channel, Patient, said, someone
from shared.testing.collector import Collected, Collector
from shared.testing.eventually import eventually
from shared.testing.follower import Follower
from shared.testing.system import System, running

WEBHOOK = "POST /v1/inbound/{channel_id}"
REPLY = "POST /v1/conversations/{conversation_id}/messages"
STRANGERS_TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET_TEXT = "my card is 4111 1111 1111 1111"


@dataclass(frozen=True)
class Traced:
    """A system of its own, every request of which is traced."""

    system: System
    collector: Collector


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with Collector() as collector, pytest.MonkeyPatch.context() as environ:
        environ.setenv("RELAYDESK_TRACES_ENDPOINT", collector.url)
        environ.setenv("RELAYDESK_TRACES_SAMPLE", "1")
        environ.setenv("RELAYDESK_TRACES_HEADERS", "authorization=Bearer abc")
        with running(tmp_path_factory.mktemp("traced"), "--split") as system:
            yield Traced(system, collector)


@pytest_asyncio.fixture
async def agent(traced: Traced) -> AsyncIterator[Api]:
    async with Patient(traced.system.info["api"], traced.system.info["tokens"]["agent"]) as api:
        yield api


@pytest_asyncio.fixture
async def channel(traced: Traced) -> AsyncIterator[Channel]:
    info = traced.system.info["channel"]
    async with Patient(traced.system.info["api"], None) as public:
        yield Channel(public, info["id"], info["secret"])


@pytest_asyncio.fixture
async def adapter(traced: Traced) -> AsyncIterator[Adapter]:
    info = traced.system.info["channel"]
    async with (
        Adapter(secret=info["secret"]) as listening,
        Patient(traced.system.info["api"], traced.system.info["tokens"]["owner"]) as owner,
    ):
        await owner.ok("PATCH", f"/v1/channels/{info['id']}", {"settings": {"outbound_url": listening.url}})
        yield listening


@pytest_asyncio.fixture
async def stream(traced: Traced, agent: Api) -> AsyncIterator[Follower]:
    async with Follower(agent, traced.system.info["stream"]) as follower:
        yield follower


def way(collector: Collector, span: Collected) -> list[str]:
    """From the root down to this span: service and name of each."""
    by_ident: Mapping[str, Collected] = {one.ident: one for one in collector.of(span.trace)}
    steps = [span]
    while steps[-1].parent:
        steps.append(by_ident[steps[-1].parent])
    return [f"{one.service.removeprefix('relaydesk-')}: {one.name}" for one in reversed(steps)]


async def came(collector: Collector, span: Collected, steps: list[str]) -> None:
    """The spans of several processes arrive in any order."""
    await eventually(lambda: way(collector, span) == steps, " > ".join(steps))


async def found(collector: Collector, name: str, kind: str, conversation: str) -> Collected:
    """The first span of this name about an event of this kind."""

    def look() -> list[Collected]:
        wanted = {"relaydesk.conversation_id": conversation, "relaydesk.type": kind}.items()
        return [one for one in list(collector.spans) if one.name == name and wanted <= one.attributes.items()]

    await eventually(look, f"a span {name} of {kind}")
    return look()[0]


async def test_a_signed_webhook_and_the_frame_of_its_message_are_one_trace(
    traced: Traced, channel: Channel, stream: Follower
) -> None:
    who = someone()
    await channel.say(who, SECRET_TEXT, first_name="Ada")
    conversation = await stream.conversation_of(who)
    await eventually(lambda: stream.of(conversation, "message.received"), "the frame")

    collector = traced.collector
    frame = await found(collector, "stream workspace.events", "relaydesk.message.received.v1", conversation)
    projected = await found(collector, "process workspace.events", "relaydesk.message.received.v1", conversation)

    before = [f"ingest: {WEBHOOK}", "ingest: send channel.inbound", "routing: process channel.inbound"]
    await came(collector, frame, [*before, "gateway: stream workspace.events"])
    await came(collector, projected, [*before, "gateway: process workspace.events"])
    assert frame.attributes["relaydesk.sockets"] == 1
    assert frame.attributes["relaydesk.workspace"] == traced.system.info["workspace"]
    kinds = [one.kind for one in collector.of(frame.trace)]
    assert kinds[:3] == ["server", "producer", "consumer"]
    assert collector.headers[0]["authorization"] == "Bearer abc"


async def test_a_reply_and_its_delivery_at_the_adapter_are_one_trace(
    traced: Traced, agent: Api, channel: Channel, stream: Follower, adapter: Adapter
) -> None:
    who = someone()
    await channel.say(who, "hi")
    conversation = await stream.conversation_of(who)
    answer = await agent.reply(conversation, SECRET_TEXT)
    assert answer.status == 201, answer.body
    await eventually(lambda: stream.statuses(conversation) == ["sent"], "status sent")

    collector = traced.collector
    await eventually(lambda: collector.trace_of("deliver webhook", conversation_id=conversation), "a delivery")
    trace = collector.trace_of("deliver webhook", conversation_id=conversation)
    assert trace is not None
    frame = await found(collector, "stream workspace.events", "relaydesk.message.sent.v1", conversation)
    told = await found(collector, "stream workspace.events", "relaydesk.message.status_changed.v1", conversation)

    post = next(one for one in collector.of(trace) if one.kind == "client")
    decided = [f"gateway: {REPLY}", "gateway: send conversation.commands", "routing: process conversation.commands"]
    taken = [*decided, "dispatch: process channel.outbound"]
    await came(collector, post, [*taken, "dispatch: deliver webhook", "dispatch: POST"])
    await came(collector, frame, [*decided, "gateway: stream workspace.events"])
    await came(collector, told, [*taken, "routing: process channel.inbound", "gateway: stream workspace.events"])
    assert post.attributes["http.response.status_code"] == 200
    assert adapter.seen[-1].headers["traceparent"] == f"00-{trace}-{post.ident}-01"


async def test_a_strangers_trace_is_linked_to_and_not_gone_on_with(
    traced: Traced, agent: Api, channel: Channel
) -> None:
    body = json.dumps({"events": [said(someone(), "hi")]}).encode()
    theirs = {"traceparent": f"00-{STRANGERS_TRACE}-b7ad6b7169203331-01", "baggage": "secret=1"}
    answer = await agent.call("POST", f"/v1/inbound/{channel.ident}", body, {**channel.signed(body), **theirs})
    assert answer.status == 202, answer.body

    def linked() -> list[Collected]:
        return [one for one in traced.collector.spans if STRANGERS_TRACE in one.links]

    await eventually(linked, "the link")
    assert [one.name for one in linked()] == [WEBHOOK]
    assert traced.collector.of(STRANGERS_TRACE) == []


async def test_no_span_says_what_people_wrote_or_who_they_are(traced: Traced) -> None:
    said = " ".join(str(value) for one in traced.collector.spans for value in one.attributes.values())
    assert traced.collector.spans
    for secret in ("4111", "Ada", "Bearer", "secret=1", "customer-", "agent:"):
        assert secret not in said
