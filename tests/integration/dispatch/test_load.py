"""Many conversations at a steady pace through a slow adapter that stumbles, with and without a lane that is stuck."""

import asyncio
import logging
import random
import time
from collections.abc import Iterator, Sequence

import pytest

from shared.contracts.outbound import DeliverMessage
from shared.testing.adapter import Adapter, Reaction, Says, Seen
from shared.testing.eventually import eventually
from shared.testing.scale import at_scale
from tests.integration.dispatch.installation import Installation, Talk
from tests.integration.dispatch.process import Process

log = logging.getLogger(__name__)

CONVERSATIONS = at_scale(full=1000, reduced=100)
REPLIES = 5
PER_SECOND = 75.0
"""Replies; the adapter takes 150 ms each and 20 at a time."""
WITHIN = 1.3
SLACK_S = at_scale(full=0.0, reduced=0.5)
"""500 messages have five slowest ones: too few to compare them closely."""
ROUNDS = at_scale(full=1, reduced=5)
"""Other work may fall into one half of a round: a slow lane would show in each."""

AS_IT_SHIPS = {"dispatch_timeout_s": 10.0, "dispatch_fence_patience_s": 3.0, "dispatch_backoff_s": 1.0}


class Stumbling:
    """An adapter's behaviour: 0-300 ms, 10 % 503, the same dice for the same message of every round.

    `taken`: webhook-id -> monotonic seconds of the first 2xx; `repeated`: what came again after it; `early`: what came
    before its predecessor was taken; `together`: what came while its conversation had another under way; `stuck`: the
    conversation that gets no answer before `released`.
    """

    def __init__(self) -> None:
        self.taken: dict[str, float] = {}
        self.repeated: list[str] = []
        self.early: list[str] = []
        self.together: list[str] = []
        self.numbers: dict[str, int] = {}
        self.before: dict[str, str] = {}
        self.stuck: str | None = None
        self.released = asyncio.Event()
        self._busy: set[str] = set()

    def expect(self, number: int, messages: Sequence[DeliverMessage]) -> None:
        self.numbers[messages[0].conversation_id] = number
        idents = [one.message_id for one in messages]
        self.before |= dict(zip(idents[1:], idents, strict=False))

    async def __call__(self, seen: Seen) -> Reaction:
        if seen.id in self.taken:
            self.repeated.append(seen.id)
        if seen.id in self.before and self.before[seen.id] not in self.taken:
            self.early.append(seen.id)
        if seen.conversation == self.stuck:
            await self.released.wait()
            return Says(503)
        if seen.conversation in self._busy:
            self.together.append(seen.id)
        self._busy.add(seen.conversation)
        try:
            return await self._answer(seen)
        finally:
            self._busy.discard(seen.conversation)

    async def _answer(self, seen: Seen) -> Reaction:
        dice = random.Random(f"{self.numbers[seen.conversation]} {seen.text} {seen.body['attempt']}")
        await asyncio.sleep(dice.uniform(0, 0.3))
        if dice.random() < 0.1:
            return Says(503)
        self.taken.setdefault(seen.id, time.monotonic())
        return Says()


@pytest.mark.timeout(at_scale(full=900, reduced=600))
async def test_many_conversations_keep_their_order_and_a_stuck_lane_slows_no_other(
    installation: Installation, adapter: Adapter, channel: str
) -> None:
    adapter.behaviour = stumbling = Stumbling()
    async with Process(installation, **AS_IT_SHIPS):
        await installation.reported(await first(installation, channel, stumbling))
        for _ in range(ROUNDS):
            alone = await spoken(installation, channel, stumbling)
            beside = await spoken_beside_a_stuck_lane(installation, channel, stumbling, adapter)
            if is_as_fast(beside, alone):
                break
    assert not stumbling.early and not stumbling.repeated and not stumbling.together and not adapter.bad
    assert is_as_fast(beside, alone), f"p99 {at(beside, 0.99):.2f} s beside, {at(alone, 0.99):.2f} s alone"


async def spoken_beside_a_stuck_lane(
    installation: Installation, channel: str, stumbling: Stumbling, adapter: Adapter
) -> list[float]:
    """As `spoken`; afterwards the stuck lane goes on."""
    stuck = Talk(installation, channel)
    held = stuck.messages(REPLIES)
    stumbling.expect(-1, held)
    stumbling.stuck, stumbling.released = stuck.conversation, asyncio.Event()
    begun = time.monotonic()
    await installation.publish([stuck.outgoing(one) for one in held])
    beside = await spoken(installation, channel, stumbling)
    stuck_s = time.monotonic() - begun
    assert {seen.id for seen in adapter.seen if seen.conversation == stuck.conversation} == {held[0].message_id}
    stumbling.stuck = None
    stumbling.released.set()
    await eventually(lambda: all(one.message_id in stumbling.taken for one in held), "the stuck lane goes on", 120)
    spread = len(beside), at(beside, 0.5), at(beside, 0.99)
    log.info("beside a lane stuck for %.0f s: %d messages, p50 %.2f s and p99 %.2f s", stuck_s, *spread)
    return beside


def is_as_fast(beside: Sequence[float], alone: Sequence[float]) -> bool:
    log.info("alone: %d messages, p50 %.2f s and p99 %.2f s", len(alone), at(alone, 0.5), at(alone, 0.99))
    return at(beside, 0.99) <= WITHIN * at(alone, 0.99) + SLACK_S


async def first(installation: Installation, channel: str, stumbling: Stumbling) -> list[DeliverMessage]:
    """One message: when it is reported, dispatch works."""
    talk = Talk(installation, channel)
    messages = talk.messages(1)
    stumbling.expect(-2, messages)
    await installation.publish([talk.outgoing(one) for one in messages])
    return messages


async def spoken(installation: Installation, channel: str, stumbling: Stumbling) -> list[float]:
    """A round of all conversations; -> seconds from publishing to the adapter's 2xx, ascending."""
    published: dict[str, float] = {}

    async def say(number: int, delays: Iterator[float]) -> None:
        talk = Talk(installation, channel)
        messages = talk.messages(REPLIES)
        stumbling.expect(number, messages)
        for one in messages:
            await asyncio.sleep(next(delays))
            published[one.message_id] = time.monotonic()
            await installation.publish([talk.outgoing(one)])

    await asyncio.gather(*(say(number, pace(number)) for number in range(CONVERSATIONS)))
    await eventually(lambda: published.keys() <= stumbling.taken.keys(), "every message taken", timeout=120, every=0.1)
    return sorted(stumbling.taken[ident] - moment for ident, moment in published.items())


def pace(number: int) -> Iterator[float]:
    """When a conversation begins, then its pauses: the same in every round."""
    dice = random.Random(number)
    yield dice.uniform(0, CONVERSATIONS * REPLIES / PER_SECOND)
    while True:
        yield dice.uniform(0, 1.5)


def at(ascending: Sequence[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]
