"""After a fence is acknowledged, no bot message begins to be handed to a channel (DESIGN 6)."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import pytest

from services.dispatch.core.delivery import Delivery
from services.dispatch.fence import Fence
from services.dispatch.lanes import Lane
from services.dispatch.store.deliveries import MongoDeliveries
from shared.contracts.outbound import DeliverMessage
from shared.runtime.consumer import GroupConsumer
from shared.runtime.records import Partition
from shared.testing.adapter import Adapter, Reaction, Says, Seen
from shared.testing.eventually import eventually
from tests.integration.dispatch.installation import Installation, Talk, known


async def test_bots_messages_go_out_until_the_fence_and_not_after(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    async with installation.dispatch():
        before = await talk.send(2, epoch=0)
        assert [report.status for report in await installation.reported(before)] == ["sent"] * 2
        await talk.fence(1)
        after = await talk.send(2, epoch=0)
        person = await talk.send(1)
        reports = await installation.reported(after + person)
    assert [(report.status, report.error) for report in reports] == [("failed", "BOT_SILENCED")] * 2 + [("sent", None)]
    assert adapter.ids() == [record.message_id for record in before + person]


async def test_a_bot_that_is_enabled_again_speaks_with_its_new_epoch(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    await talk.fence(1)
    old, new = await talk.send(1, epoch=0), await talk.send(1, epoch=2)
    async with installation.dispatch():
        reports = await installation.reported(old + new)
    assert [report.status for report in reports] == ["failed", "sent"]


async def test_a_message_in_retry_is_silenced_at_once_and_the_person_is_heard(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = lambda seen: (
        Says(503, b"", {"Retry-After": "600"}) if seen.body["author"]["kind"] == "bot" else Says()
    )
    async with installation.dispatch():
        bot = await talk.send(1, epoch=0)
        await eventually(lambda: adapter.seen, "the first attempt")
        await talk.fence(1)
        person = await talk.send(1)
        reports = await installation.reported(bot + person)
    assert [report.error for report in reports] == ["BOT_SILENCED", None]


async def test_a_fence_that_came_while_dispatch_was_down_counts_before_what_is_stored(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = lambda seen: Says(503)
    async with installation.dispatch():
        bot = await talk.send(1, epoch=0)
        await eventually(lambda: adapter.seen, "an attempt")
    await talk.fence(1)
    adapter.behaviour = lambda seen: Says()
    tried = len(adapter.seen)
    async with installation.dispatch():
        (report,) = await installation.reported(bot)
    assert report.error == "BOT_SILENCED" and len(adapter.seen) == tried


@pytest.mark.parametrize("broken", [False, True], ids=["as it is", "without the end offset"])
async def test_a_fence_behind_a_backlog_holds_because_the_end_offset_is_asked(
    installation: Installation, adapter: Adapter, talk: Talk, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """Intake is slow, so that a fence acknowledged by the broker is not stored yet when the bot's message is tried."""
    store, caught_up = MongoDeliveries.add, Fence._caught_up
    gate, standing = asyncio.Event(), asyncio.Event()

    async def slow_add(
        self: MongoDeliveries, deliveries: Sequence[Delivery], fences: Mapping[str, int]
    ) -> Collection[str]:
        if fences:
            await gate.wait()
        return await store(self, deliveries, fences)

    async def noted(self: Fence, at: Partition) -> None:
        standing.set()
        if not broken:
            await caught_up(self, at)

    monkeypatch.setattr(MongoDeliveries, "add", slow_add)
    monkeypatch.setattr(Fence, "_caught_up", noted)
    adapter.behaviour = lambda seen: Says(503, b"", {"Retry-After": "600"}) if len(adapter.seen) == 1 else Says()
    async with installation.dispatch() as life:
        await known(life, talk.channel_id)
        bot = await talk.send(1, epoch=0)
        await eventually(lambda: put_off(installation, bot[0]), "a first attempt came to nothing")
        await talk.fence(1)
        standing.clear()
        await installation.channel(f"{adapter.url}?anew", talk.channel_id)  # so it is tried now
        await asyncio.wait_for(standing.wait(), 60)
        if broken:
            await eventually(lambda: len(adapter.seen) == 2, "it is handed over behind its fence")
        gate.set()
        (report,) = await installation.reported(bot)
    assert len(adapter.seen) == (2 if broken else 1)
    assert report.status == ("sent" if broken else "failed")


async def put_off(installation: Installation, record: DeliverMessage) -> bool:
    return (await installation.state(record)).get("trouble") == "HTTP 503"


class Passages:
    """For each time that a bot's message passed its fence: when the broker had been asked for the last time before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of: dict[str, list[float]] = defaultdict(list)
        """By conversation, monotonic seconds."""
        asked: dict[object, float] = {}
        end_offset, check = GroupConsumer.end_offset, Fence.check

        async def noted_question(consumer: GroupConsumer, at: Partition) -> int:
            asked[asyncio.current_task()] = time.monotonic()
            return await end_offset(consumer, at)

        async def noted_passage(fence: Fence, delivery: Delivery, lane: Lane) -> None:
            asked.pop(asyncio.current_task(), None)
            await check(fence, delivery, lane)
            if delivery.record.bot_epoch is not None:
                self.of[delivery.record.conversation_id].append(asked.get(asyncio.current_task(), time.monotonic()))

        monkeypatch.setattr(GroupConsumer, "end_offset", noted_question)
        monkeypatch.setattr(Fence, "check", noted_passage)


async def test_takeovers_at_any_moment_are_never_followed_by_a_bots_message(
    installation: Installation, adapter: Adapter, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes out had asked the broker before the fence was acknowledged, however long it is on its way."""
    passages, dice = Passages(monkeypatch), random.Random(5)
    acknowledged: dict[str, float] = {}

    def stumbling(seen: Seen) -> Reaction:
        return Says(503) if seen.body["author"]["kind"] == "bot" and dice.random() < 0.5 else Says()

    adapter.behaviour = stumbling

    async def takeover(delay_s: float) -> None:
        talk = Talk(installation, channel)
        bot = await talk.send(3, epoch=0)
        await asyncio.sleep(delay_s)
        await talk.fence(1)
        acknowledged[talk.conversation] = time.monotonic()
        late = await talk.send(1, epoch=0)
        await installation.reported([*bot, *late, *await talk.send(1)])

    async with installation.dispatch():
        await installation.reported(await Talk(installation, channel).send(1))
        await asyncio.gather(*(takeover(dice.random()) for _ in range(60)))
    spoken = [seen for seen in adapter.seen if seen.body["author"]["kind"] == "bot"]
    assert spoken and len(spoken) == sum(len(passages.of[one]) for one in acknowledged)
    assert [one for one, at in acknowledged.items() if passages.of[one] and max(passages.of[one]) > at] == []
