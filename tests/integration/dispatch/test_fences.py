"""After a fence is acknowledged, no bot message begins to be handed to a channel (DESIGN 6)."""

import asyncio
import random
import time
from collections.abc import Collection, Mapping, Sequence

import pytest

from services.dispatch.core.delivery import Delivery
from services.dispatch.fence import Fence
from services.dispatch.store.deliveries import MongoDeliveries
from shared.runtime.records import Partition
from shared.testing.adapter import Adapter, Reaction, Says, Seen
from shared.testing.eventually import eventually
from tests.integration.dispatch.installation import Installation, Talk
from tests.integration.dispatch.process import Process

UNDER_WAY_S = 0.3
"""From the broker's answer until the adapter's handler runs, both processes waiting for their turn on a busy machine.
An attempt that doesn't ask the broker comes seconds late here: dispatch has a backlog of fences."""


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


class Impatient(Fence):
    """A fence with the question for the end offset taken out: what is stored now is all it knows."""

    async def _caught_up(self, at: Partition) -> None:
        return


@pytest.mark.parametrize("broken", [False, True], ids=["as it is", "without the end offset"])
async def test_a_fence_behind_a_backlog_holds_because_the_end_offset_is_asked(
    installation: Installation, adapter: Adapter, talk: Talk, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """Intake is slow, so that a fence acknowledged by the broker is not stored yet when the bot's message is tried."""
    if broken:
        monkeypatch.setattr(Fence, "_caught_up", Impatient._caught_up)
    store, gate = MongoDeliveries.add, asyncio.Event()

    async def slow_add(
        self: MongoDeliveries, deliveries: Sequence[Delivery], fences: Mapping[str, int]
    ) -> Collection[str]:
        if fences:
            await gate.wait()
        return await store(self, deliveries, fences)

    monkeypatch.setattr(MongoDeliveries, "add", slow_add)
    refusing = [True]
    adapter.behaviour = lambda seen: Says(503, b"", {"Retry-After": "1"}) if refusing[0] else Says()
    async with installation.dispatch(dispatch_fence_patience_s=5, dispatch_timeout_s=8):
        bot = await talk.send(1, epoch=0)
        await eventually(lambda: adapter.seen, "a first attempt")
        await talk.fence(1)
        acknowledged = time.monotonic()
        refusing[0] = False
        await eventually(lambda: broken is bool(installation.reports(bot)) or None, "its fate")
        if not broken:
            gate.set()
        late = [seen for seen in adapter.seen if seen.at > acknowledged + 0.05]
        gate.set()
        (report,) = await installation.reported(bot)
    assert bool(late) is broken
    assert report.status == ("sent" if broken else "failed")


async def test_takeovers_at_any_moment_are_never_followed_by_a_bots_message(
    installation: Installation, adapter: Adapter, channel: str
) -> None:
    dice = random.Random(5)
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
        await installation.reported([*bot, *late, *await talk.send(1)], timeout=40)

    async with Process(installation):
        await installation.reported(await Talk(installation, channel).send(1))
        await asyncio.gather(*(takeover(dice.random()) for _ in range(60)))
    spoken = [seen for seen in adapter.seen if seen.body["author"]["kind"] == "bot"]
    lateness = [seen.at - acknowledged[seen.conversation] for seen in spoken]
    assert spoken and [late for late in lateness if late > UNDER_WAY_S] == []
