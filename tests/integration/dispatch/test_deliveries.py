"""The way of a message from channel.outbound to an adapter and back to channel.inbound, on real engines."""

import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from shared.contracts import topics
from shared.contracts.outbound import DeliverMessage
from shared.contracts.times import to_timestamp
from shared.runtime.clock import SystemClock
from shared.runtime.component import Service
from shared.runtime.records import Outgoing, Record
from shared.testing.adapter import Adapter, Behaviour, Breaks, Hangs, Reaction, Says, Seen
from shared.testing.eventually import eventually
from tests.integration.dispatch.installation import Installation, Talk, known


@pytest_asyncio.fixture(scope="module")
async def life(installation: Installation) -> AsyncIterator[Service]:
    """One dispatch for the tests here; they only watch from outside."""
    async with installation.dispatch() as service:
        yield service


@pytest_asyncio.fixture
async def channel(life: Service, channel: str) -> str:
    await known(life, channel)
    return channel


pytestmark = pytest.mark.usefixtures("life")


async def test_messages_arrive_signed_in_order_and_are_reported(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    sent = await talk.send(5)
    reports = await installation.reported(sent)
    assert adapter.ids() == [record.message_id for record in sent]
    assert not adapter.bad and adapter.at_once == 1
    assert [(report.status, report.attempt, report.bot_kind) for report in reports] == [("sent", 1, "webhook")] * 5
    assert adapter.seen[0].body["to"] == {"id": sent[0].to}


async def test_a_repeated_record_is_not_delivered_again(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    sent = await talk.send(2)
    await installation.reported(sent)
    await installation.publish([talk.outgoing(record) for record in sent])
    last = await talk.send(1)
    await installation.reported(last)
    assert [seen.id for seen in adapter.seen] == [record.message_id for record in sent + last]


async def test_the_providers_id_is_reported(installation: Installation, adapter: Adapter, talk: Talk) -> None:
    adapter.behaviour = lambda seen: Says(201, {"provider_message_id": f"p-{seen.id}"})
    (sent,) = await talk.send()
    (report,) = await installation.reported([sent])
    assert report.provider_message_id == f"p-{sent.message_id}"


@pytest.mark.parametrize("body", [b"<html>fine</html>", b"\xff\x00", b"x" * 3_000_000, b"[" * 100_000, b'{"provider_'])
async def test_rubbish_in_a_2xx_is_sent(installation: Installation, adapter: Adapter, talk: Talk, body: bytes) -> None:
    adapter.behaviour = lambda seen: Says(200, body)
    (report,) = await installation.reported(await talk.send())
    assert (report.status, report.provider_message_id, len(adapter.seen)) == ("sent", None, 1)


async def test_a_refusal_fails_the_message_and_the_next_one_goes(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = lambda seen: Says(410, b"user is gone") if seen.body["text"].endswith(" 3") else Says()
    reports = await installation.reported(await talk.send(2))
    assert [report.status for report in reports] == ["failed", "sent"]
    assert reports[0].error == "ADAPTER_REFUSED: HTTP 410 user is gone"


def stumbling(reaction: Reaction, times: int = 2) -> Behaviour:
    """Each message is answered so the first times, then taken."""

    def react(seen: Seen) -> Reaction:
        return reaction if seen.body["attempt"] <= times else Says()

    return react


@pytest.mark.parametrize(
    "reaction",
    [
        Says(500, b"oops"),
        Says(503),
        Says(301, b"", {"Location": "http://127.0.0.1:1/"}),
        Says(308, b"", {"Location": "/elsewhere"}),
        Says(408),
        Says(425),
        Says(429, b"", {"Retry-After": "0"}),
        Breaks(b""),
        Breaks(b"HTTP/1.1 2"),
        Breaks(b"I am not a web server\r\n\r\n"),
    ],
    ids=lambda reaction: str(getattr(reaction, "status", "breaks")),
)
async def test_what_may_pass_is_tried_again_in_order_with_the_same_id(
    installation: Installation, adapter: Adapter, talk: Talk, reaction: Reaction
) -> None:
    adapter.behaviour = stumbling(reaction)
    sent = await talk.send(2)
    reports = await installation.reported(sent)
    assert [(report.status, report.attempt) for report in reports] == [("sent", 3)] * 2
    assert [seen.id for seen in adapter.seen] == [record.message_id for record in sent for _ in range(3)]
    assert [seen.body["attempt"] for seen in adapter.seen] == [1, 2, 3] * 2


async def test_an_answer_that_closes_half_way_after_its_status_counts(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = lambda seen: Breaks(b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"provider_message_id": ')
    (report,) = await installation.reported(await talk.send())
    assert (report.status, len(adapter.seen)) == ("sent", 1)


async def test_an_adapter_is_not_tried_before_its_retry_after(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = stumbling(Says(429, b"", {"Retry-After": "1"}), 1)
    await installation.reported(await talk.send())
    assert adapter.seen[1].at - adapter.seen[0].at >= 1.0


async def test_a_stuck_conversation_holds_up_no_other_of_its_channel(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = lambda seen: Hangs() if seen.conversation == talk.conversation else Says()
    stuck = await talk.send(3)
    others = [Talk(installation, talk.channel_id) for _ in range(30)]
    sent = [record for other in others for record in await other.send(3)]
    await installation.reported(sent)
    assert not installation.reports(stuck)
    assert {seen.id for seen in adapter.seen if seen.conversation == talk.conversation} == {stuck[0].message_id}


async def test_a_channel_whose_adapter_hangs_holds_up_no_other_channel(
    installation: Installation, adapter: Adapter, channel: str
) -> None:
    async with Adapter(behaviour=lambda seen: Hangs()) as hanging:
        dead = await installation.channel(hanging.url)
        for _ in range(60):
            await Talk(installation, dead).send()
        await eventually(lambda: len(hanging.seen) >= 20, "the dead channel's share of attempts")
        sent = [record for _ in range(20) for record in await Talk(installation, channel).send()]
        await installation.reported(sent)
        await installation.channel(hanging.url, dead, deleted=True)


async def test_a_dead_adapter_gets_its_messages_when_its_address_is_mended(
    installation: Installation, adapter: Adapter
) -> None:
    channel = await installation.channel("http://127.0.0.1:1/nobody")
    talk = Talk(installation, channel)
    sent = await talk.send(3)

    async def tried() -> bool:
        return int((await installation.state(sent[0])).get("attempt", 0)) >= 2

    await eventually(tried, "two attempts")
    await installation.channel(adapter.url, channel)
    await installation.reported(sent)
    assert adapter.ids() == [record.message_id for record in sent]


async def test_without_an_address_messages_wait_for_one(installation: Installation, adapter: Adapter) -> None:
    channel = await installation.channel("")
    sent = await Talk(installation, channel).send(1)

    async def waiting() -> bool:
        return (await installation.state(sent[0])).get("trouble") == "the channel has no outbound_url"

    await eventually(waiting, "waiting for an address")
    await installation.channel(adapter.url, channel)
    assert [report.status for report in await installation.reported(sent)] == ["sent"]


async def test_a_message_may_come_before_its_channel_is_known(installation: Installation, adapter: Adapter) -> None:
    ident = "6f1d2b0a-9e4f-4f7b-8a5d-1c2e3f405162"
    sent = await Talk(installation, ident).send(1)

    async def stored() -> bool:
        return bool(await installation.state(sent[0]))

    await eventually(stored, "in its lane")
    assert (await installation.state(sent[0]))["state"] == "waiting"
    await installation.channel(adapter.url, ident)
    (report,) = await installation.reported(sent)
    assert (report.status, report.attempt) == ("sent", 1)


async def test_a_deleted_channel_fails_what_is_under_way(installation: Installation, adapter: Adapter) -> None:
    adapter.behaviour = lambda seen: Says(503)
    channel = await installation.channel(adapter.url)
    sent = await Talk(installation, channel).send(2)
    await eventually(lambda: adapter.seen, "an attempt")
    await installation.channel(adapter.url, channel, deleted=True)
    reports = await installation.reported(sent)
    assert [(report.status, report.error) for report in reports] == [("failed", "CHANNEL_GONE")] * 2


async def test_another_workspaces_channel_delivers_nothing(
    installation: Installation, adapter: Adapter, channel: str
) -> None:
    sent = await Talk(installation, channel, workspace="globex").send(1)
    (report,) = await installation.reported(sent)
    assert report.error == "CHANNEL_GONE" and not adapter.seen


async def test_a_message_older_than_its_life_is_not_sent(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    yesterday = to_timestamp(SystemClock().now().replace(year=2020))
    old = await talk.send(1, queued_at=yesterday)
    new = await talk.send(1)
    reports = await installation.reported(old + new)
    assert [report.error for report in reports] == ["DELIVERY_EXPIRED", None]
    assert adapter.ids() == [new[0].message_id]


async def test_garbage_is_dead_lettered_with_its_bytes_and_the_partition_goes_on(
    installation: Installation, talk: Talk
) -> None:
    key = talk.outgoing(talk.messages(1)[0]).key
    garbage = [b"{", b"\xff\xfe", b'{"type":"DeliverMessage"}', b"null"]
    await installation.publish([Outgoing(topics.CHANNEL_OUTBOUND, key, value) for value in garbage])
    await installation.reported(await talk.send(1))
    letters: list[Record] = []
    tail = installation.messaging.tail(topics.dead_letter_name(topics.CHANNEL_OUTBOUND), letters.extend)
    await tail.start()
    await eventually(lambda: len(letters) >= 4, "the dead letters")
    await tail.stop()
    assert [letter.value for letter in letters[-4:]] == garbage
    assert letters[-1].headers["reason"] == b"UNDECODABLE"


async def test_many_conversations_through_a_stumbling_adapter_keep_their_order(
    installation: Installation, adapter: Adapter, channel: str
) -> None:
    dice = random.Random(7)

    def react(seen: Seen) -> Reaction:
        return Says(503) if dice.random() < 0.1 else Says()

    adapter.behaviour = react
    talks = [Talk(installation, channel) for _ in range(100)]
    sent: list[DeliverMessage] = []
    for _ in range(5):
        for talk in talks:
            sent += talk.messages(1)
    by_conversation = {talk.conversation: talk for talk in talks}
    await installation.publish([by_conversation[one.conversation_id].outgoing(one) for one in sent])
    await installation.reported(sent, timeout=120)
    assert adapter.at_once == 1
    for talk in talks:
        assert adapter.texts(talk.conversation) == [f"message {n}" for n in range(3, 8)]
