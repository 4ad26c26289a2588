"""Questions of an erased contact: not asked any more, not answered any more, and forgotten."""

from collections.abc import Awaitable, Callable

import pytest

from services.dispatch.bots.intake import RequestIntake
from services.dispatch.core.bot import Answered, Broken, Request
from services.dispatch.core.channel import Channel
from services.dispatch.handlers import LaneHandler
from services.dispatch.lanes import Lane, Lanes, Limits
from shared.contracts.outbound import BotRequest, EraseConversation
from shared.runtime.metrics import Metrics
from tests.unit.dispatch.builders import CHANNEL, OTHER_CONVERSATION, PERSONAL, SteppingClock, erase, request
from tests.unit.dispatch.memory import MemoryErasures, MemoryReports, MemoryRequests
from tests.unit.dispatch.test_bots import LANE, Booth, FakeBot
from tests.unit.dispatch.test_handlers import batch


class Counter:
    """The handler of `bot.requests` over a store in memory."""

    def __init__(self) -> None:
        self.store, self.lanes, self.metrics, self.clock = MemoryRequests(), Lanes(Limits()), Metrics(), SteppingClock()
        intake = RequestIntake(self.store, MemoryErasures(), self.clock, self.metrics)
        reports = MemoryReports(self.store.pending)
        self._handler = LaneHandler(intake, reports, self.lanes, lambda: None, self.clock)

    async def handle(self, *records: BotRequest | EraseConversation) -> None:
        await self._handler.handle(batch(records, "bot.requests"))

    @property
    def ended(self) -> float:
        name = "relaydesk_bot_requests_ended_total"
        return self.metrics.registry.get_sample_value(name, {"outcome": "erased"}) or 0.0


def bare(kept: object) -> bool:
    return not [word for word in PERSONAL if word in repr(kept)]


async def test_questions_up_to_the_seq_end_unasked_and_are_counted_once() -> None:
    counter = Counter()
    await counter.handle(request(3).record, request(4).record, request(7).record)
    for _ in range(2):
        await counter.handle(erase(6))
    assert counter.store.ended == {request(3).ident: "erased", request(4).ident: "erased"}
    assert await counter.store.head(LANE.key, 3) == request(7)
    assert counter.ended == 2 and not bare(counter.store.rows)


async def test_a_question_that_comes_with_or_after_its_erasure_is_a_skeleton_at_once() -> None:
    counter = Counter()
    await counter.handle(request(3).record, erase(6))
    assert bare(counter.store.rows) and await counter.store.erased(request(3))
    counter.store.skeletons.clear()
    await counter.handle(request(3).record)
    await counter.handle(request(3).record)
    assert bare(counter.store.rows) and await counter.store.head(LANE.key, 3) is None
    assert counter.ended == 2


async def test_the_lane_of_an_erased_question_looks_at_its_next_head() -> None:
    counter = Counter()
    await counter.handle(request(3).record, request(7).record)
    turn = counter.lanes.take(counter.clock.now())
    assert turn is not None
    counter.lanes.give_back(turn.lane, counter.clock.now().replace(hour=23), counter.clock.now())
    await counter.handle(erase(6))
    assert counter.lanes.take(counter.clock.now()) is not None


class Interrupting(FakeBot):
    """The contact is erased while it thinks."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]], *answers: Answered | Broken) -> None:
        super().__init__(*answers)
        self._meanwhile = meanwhile

    async def ask(self, request: Request, channel: Channel, deadline_s: float) -> Answered | Broken:
        answer = await super().ask(request, channel, deadline_s)
        await self._meanwhile()
        return answer


class ErasedBooth(Booth):
    """Up to question 3, while it is being asked."""

    def __init__(self, *answers: Answered | Broken) -> None:
        super().__init__(Interrupting(self.erase, *answers))
        self.lane = Lane(LANE.key, LANE.partition, CHANNEL)

    async def erase(self) -> None:
        await self.store.erase(self.lane.key, 3, self.clock.now())
        self.lane.erased_to = 3

    async def work(self) -> None:
        while (at := await self.asker.turn(self.lane, False)) is not None and at <= self.clock.now():
            pass

    def counted(self, outcome: str) -> float:
        metrics = self.asker._metrics.registry
        return metrics.get_sample_value("relaydesk_bot_requests_ended_total", {"outcome": outcome}) or 0.0


@pytest.mark.parametrize("answer", [Answered(("hello Ada",)), Broken("GARBAGE")])
async def test_an_answer_that_comes_after_the_erasure_is_nobodys(answer: Answered | Broken) -> None:
    booth = ErasedBooth(answer)
    await booth.store.add([(request(3), booth.clock.now()), (request(4), booth.clock.now())])
    await booth.work()
    assert [said.request_message_id[-1] for said in booth.told()] == ["4"]
    assert booth.store.ended[request(3).ident] == "erased" and request(3).ident not in booth.store.rows
    assert request(3).ident not in booth.store.pending
    assert (booth.counted("answered"), booth.counted("GARBAGE")) == (1, 0)


async def test_a_question_that_failed_quickly_is_not_asked_again_after_the_erasure() -> None:
    booth = ErasedBooth(*[Broken("HTTP_500", again=True)] * 2)
    await booth.store.add([(request(3), booth.clock.now())])
    await booth.work()
    assert len(booth.bot.asked) == 1 and booth.told() == []


async def test_what_is_erased_while_its_fence_is_looked_up_is_not_asked() -> None:
    booth = ErasedBooth()
    epoch = booth.fences.epoch

    async def erased_meanwhile(lane: str) -> int:
        await booth.erase()
        return await epoch(lane)

    booth.fences.epoch = erased_meanwhile  # type: ignore[method-assign]
    await booth.store.add([(request(3), booth.clock.now())])
    await booth.work()
    assert booth.bot.asked == [] and booth.told() == []


async def test_a_question_overtaken_and_erased_at_the_same_moment_is_counted_once() -> None:
    booth = ErasedBooth()
    booth.fences.fences[LANE.key] = 5
    end = booth.store.end

    async def erased_first(*args: object) -> bool:
        await booth.erase()
        return await end(*args)  # type: ignore[arg-type]

    booth.store.end = erased_first  # type: ignore[method-assign, assignment]
    await booth.store.add([(request(3), booth.clock.now())])
    await booth.work()
    assert booth.counted("overtaken") == 0 and booth.store.ended == {request(3).ident: "erased"}


async def test_an_erasure_that_meets_an_untold_answer_takes_it_too() -> None:
    booth = Booth(FakeBot())
    booth.reports.away = True
    await booth.ask(request(3), request(3, conversation=OTHER_CONVERSATION))
    assert list(booth.store.pending) == [request(3).ident]
    await booth.store.erase(LANE.key, 3, booth.clock.now())
    assert not booth.store.pending and list(booth.store.rows) == [request(3, conversation=OTHER_CONVERSATION).ident]
