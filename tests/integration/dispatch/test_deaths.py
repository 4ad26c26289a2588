"""Dispatch dies and another life takes over: nothing lost, nothing twice, nothing out of order."""

import asyncio
import random
from collections.abc import Callable

import pytest

from services.dispatch.app import Parts, kinds
from services.dispatch.channels.kind import Kind
from services.dispatch.channels.webhook import Webhook
from services.dispatch.core.channel import Channel
from services.dispatch.core.delivery import Delivery
from services.dispatch.core.outcome import Outcome
from services.dispatch.ports import Http
from shared.contracts.capabilities import Capabilities
from shared.contracts.ids import document_key
from shared.contracts.outbound import DeliverMessage
from shared.testing.adapter import Adapter, Breaks, Hangs, Reaction, Says, Seen
from shared.testing.eventually import eventually
from tests.integration.dispatch.freezing import POINTS, Freezer
from tests.integration.dispatch.installation import QUICK, Installation, Talk, known
from tests.integration.dispatch.process import Process


class Telegraph:
    """The test's kind that can't deduplicate: a webhook that says so."""

    capabilities = Capabilities(idempotent=False)

    def __init__(self, webhook: Kind) -> None:
        self._webhook = webhook

    async def deliver(self, delivery: Delivery, channel: Channel, http: Http) -> Outcome:
        return await self._webhook.deliver(delivery, channel, http)


def with_telegraph(parts: Parts) -> dict[str, Kind]:
    known = kinds(parts)
    assert isinstance(known["webhook"], Webhook)
    return known | {"telegraph": Telegraph(known["webhook"])}


async def test_a_death_between_any_two_steps_loses_nothing_and_repeats_nothing_visible(
    installation: Installation, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = await installation.channel(adapter.url)
    telegraph = await installation.channel(adapter.url, kind="telegraph")
    once = {point: Talk(installation, webhook) for point in POINTS}
    ever = {point: Talk(installation, telegraph, kind="telegraph") for point in POINTS}
    points = {lane(talk): point for talks in (once, ever) for point, talk in talks.items()}
    freezer = Freezer(points)
    sent: dict[str, list[DeliverMessage]] = {}
    with monkeypatch.context() as patched:
        freezer.install(patched)
        async with installation.dispatch(with_telegraph):
            for talk in (*once.values(), *ever.values()):
                sent[lane(talk)] = await talk.send(3)
            await eventually(lambda: freezer.frozen == points.keys(), "every lane at its point")
            freezer.kill()
    await installation.lapse()
    async with installation.dispatch(with_telegraph):
        for messages in sent.values():
            await installation.reported(messages)
    for point, talk in once.items():
        assert adapter.texts(talk.conversation) == ["message 3", "message 4", "message 5"], point
        assert statuses(installation, sent[lane(talk)]) == ["sent"] * 3, point
    in_between = ("after the claim", "after the hand-over", "before the outcome")
    for point, talk in ever.items():
        ids = [seen.id for seen in adapter.seen if seen.conversation == talk.conversation]
        assert len(ids) == len(set(ids)), point
        first = "unknown" if point in in_between else "sent"
        assert statuses(installation, sent[lane(talk)]) == [first, "sent", "sent"], point
    twice = [
        seen.body["attempt"] for seen in adapter.seen if seen.conversation == once["after the hand-over"].conversation
    ]
    assert twice == [1, 2, 1, 1]


def lane(talk: Talk) -> str:
    return document_key(talk.workspace, talk.conversation)


def statuses(installation: Installation, messages: list[DeliverMessage]) -> list[str]:
    told = installation.reports(messages)
    return [told[one.message_id].status for one in messages]


@pytest.mark.parametrize(
    ("reaction", "timing"), [(Breaks(b""), {}), (Hangs(), {"dispatch_timeout_s": 0.5})], ids=["breaks", "hangs"]
)
async def test_where_the_channel_cannot_deduplicate_no_answer_is_unknown_and_not_sent_again(
    installation: Installation, adapter: Adapter, reaction: Reaction, timing: dict[str, float]
) -> None:
    adapter.behaviour = lambda seen: reaction if seen.text == "message 3" else Says()
    channel = await installation.channel(adapter.url, kind="telegraph")
    async with installation.dispatch(with_telegraph, **timing):
        reports = await installation.reported(await Talk(installation, channel, kind="telegraph").send(2))
    assert reports[0].status == "unknown" and (reports[0].error or "").startswith("RESULT_UNKNOWN")
    assert reports[1].status == "sent" or timing, "who is given so little time may answer too late"
    assert [seen.text for seen in adapter.seen] == ["message 3", "message 4"]


async def test_where_the_channel_cannot_deduplicate_what_surely_did_not_go_out_is_tried_again(
    installation: Installation, adapter: Adapter
) -> None:
    channel = await installation.channel("http://127.0.0.1:1/nobody", kind="telegraph")
    async with installation.dispatch(with_telegraph):
        sent = await Talk(installation, channel, kind="telegraph").send(1)

        async def tried() -> bool:
            return int((await installation.state(sent[0])).get("attempt", 0)) >= 2

        await eventually(tried, "two attempts")
        await installation.channel(adapter.url, channel, kind="telegraph")
        (report,) = await installation.reported(sent)
    assert report.status == "sent" and len(adapter.seen) == 1


async def test_retries_survive_a_restart_with_their_time_and_count(
    installation: Installation, adapter: Adapter
) -> None:
    adapter.behaviour = lambda seen: Says(503, b"", {"Retry-After": "3"})
    channel = await installation.channel(adapter.url)
    talk = Talk(installation, channel)
    async with installation.dispatch() as life:
        await known(life, channel)
        sent = await talk.send(2)

        async def put_off() -> bool:
            return (await installation.state(sent[0])).get("trouble") == "HTTP 503"

        await eventually(put_off, "the first attempt")
    stored = await installation.state(sent[0])
    adapter.behaviour = lambda seen: Says()
    async with installation.dispatch():
        reports = await installation.reported(sent)
    assert [report.attempt for report in reports] == [2, 1]
    assert stored["attempt"] == 1 and adapter.seen[1].at - adapter.seen[0].at >= 2.9
    assert adapter.ids() == [record.message_id for record in sent]


async def test_what_came_in_while_nobody_was_there_is_delivered(
    installation: Installation, adapter: Adapter, channel: str
) -> None:
    sent = await Talk(installation, channel).send(3)
    async with installation.dispatch():
        await installation.reported(sent)
    assert adapter.ids() == [record.message_id for record in sent]


async def test_a_report_that_a_death_left_is_told_by_the_next_life(
    installation: Installation, adapter: Adapter, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = Talk(installation, channel)
    freezer = Freezer({lane(talk): "before the report"})
    with monkeypatch.context() as patched:
        freezer.install(patched)
        async with installation.dispatch():
            sent = await talk.send(1)
            await eventually(lambda: freezer.frozen, "the report")
            freezer.kill()
    assert not installation.reports(sent)
    async with installation.dispatch():
        await installation.reported(sent)
    assert len(adapter.seen) == 1


async def test_two_owners_share_the_conversations_and_take_over_from_each_other(
    own_installation: Installation, adapter: Adapter
) -> None:
    installation, channel = own_installation, await own_installation.channel(adapter.url)
    talks = [Talk(installation, channel) for _ in range(40)]
    sent: list[DeliverMessage] = []

    async def everybody_says(count: int) -> None:
        for talk in talks:
            sent.extend(await talk.send(count))

    async with installation.dispatch(kinds, **QUICK, instance="1"):
        await everybody_says(2)
        async with installation.dispatch(kinds, **QUICK, instance="2"):
            await everybody_says(3)
            await installation.reported(sent)
    for talk in talks:
        assert adapter.texts(talk.conversation) == [f"message {n}" for n in range(3, 8)]
    assert adapter.at_once == 1


async def test_sigkill_at_any_time_keeps_every_conversation_whole_and_in_order(
    installation: Installation, adapter: Adapter, channel: str
) -> None:
    dice = random.Random(11)

    async def react(seen: Seen) -> Reaction:
        await asyncio.sleep(dice.random() * 0.05)
        return Says(503) if dice.random() < 0.1 else Says()

    adapter.behaviour = react
    talks = [Talk(installation, channel) for _ in range(30)]
    sent = [record for talk in talks for record in await talk.send(5)]
    for share in (0.1, 0.35, 0.6):
        async with Process(installation, **QUICK):
            await eventually(_arrived(adapter, int(share * len(sent))), f"{share:.0%} of the messages")
    async with Process(installation, **QUICK):
        await installation.reported(sent, timeout=120)
    for talk in talks:
        assert adapter.texts(talk.conversation) == [f"message {n}" for n in range(3, 8)]
    assert not adapter.bad


def _arrived(adapter: Adapter, count: int) -> Callable[[], bool]:
    return lambda: len(adapter.ids()) > count
