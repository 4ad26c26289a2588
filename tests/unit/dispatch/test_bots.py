import asyncio
import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatch.bots.answers import read_answer
from services.dispatch.bots.asker import Asker, BotDesk
from services.dispatch.core.bot import Answer, Answered, Broken, Request
from services.dispatch.core.breaker import FAILURES, OPEN_FOR_S, Breaker
from services.dispatch.core.channel import Channel
from services.dispatch.lanes import Lane
from shared.contracts.commands import BotFailed, BotReply
from shared.contracts.ids import bot_reply_id
from shared.contracts.wire import decode_command
from shared.runtime.metrics import Metrics
from shared.runtime.outbound_http import Answer as HttpAnswer
from shared.runtime.tracing import OFF, Tracing
from tests.unit.dispatch.builders import CHANNEL, CONVERSATION, NOW, SteppingClock, channel, request
from tests.unit.dispatch.memory import MemoryDeliveries, MemoryReports, MemoryRequests

LANE = Lane(f"acme:{CONVERSATION}", ("bot.requests", 3), CHANNEL)


def http_answer(body: bytes | object, status: int = 200, complete: bool = True) -> HttpAnswer:
    return HttpAnswer(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode(), complete)


def read(body: bytes | object, status: int = 200, complete: bool = True) -> Answer:
    return read_answer(http_answer(body, status, complete), CONVERSATION)


def test_replies_are_read_in_their_order() -> None:
    assert read({"replies": [{"text": "a"}, {"text": "b"}], "mood": "good"}) == Answered(("a", "b"))


def test_a_handoff_is_read() -> None:
    assert read({"replies": [], "handoff": True}) == Answered((), handoff=True)


@pytest.mark.parametrize("body", [b"", b"  \n", {}, {"replies": []}])
def test_a_bot_may_have_nothing_to_say(body: object) -> None:
    assert read(body) == Answered(())


@pytest.mark.parametrize(
    "body",
    [
        b"<html>hello</html>",
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        [],
        {"replies": "hello"},
        {"replies": ["hello"]},
        {"replies": [{}]},
        {"replies": [{"text": ""}]},
        {"replies": [{"text": None}]},
        {"replies": [{"text": "a"}, {"text": "b\0"}]},
        {"replies": [{"text": "x" * 16_385}]},
        {"replies": [{"text": "x"}] * 1000},
        {"replies": [], "handoff": "yes"},
    ],
)
def test_garbage_is_a_failure(body: object) -> None:
    assert read(body) == Broken("GARBAGE")


@pytest.mark.parametrize("given", [{"handoff": None}, {"replies": None}, {"replies": None, "handoff": None}])
def test_null_says_as_much_as_leaving_out(given: dict[str, object]) -> None:
    assert read({"replies": [{"text": "a"}], **given}) == Answered(("a",) if "replies" not in given else ())


def test_an_answer_for_another_conversation_is_a_failure() -> None:
    assert read({"replies": [{"text": "x"}], "conversation_id": CONVERSATION}) == Answered(("x",))
    assert read({"replies": [{"text": "x"}], "conversation_id": "another"}) == Broken("OTHER_CONVERSATION")


def test_an_answer_that_is_too_long_or_broken_off_is_a_failure() -> None:
    assert read(b'{"replies": [', complete=False) == Broken("TOO_LARGE_OR_CUT")


@pytest.mark.parametrize(("status", "again"), [(500, True), (503, True), (429, True), (404, False), (302, False)])
def test_another_status_is_a_failure_and_may_be_worth_another_try(status: int, again: bool) -> None:
    assert read({}, status) == Broken(f"HTTP_{status}", again)


@given(st.binary(max_size=200), st.integers(100, 599), st.booleans())
def test_whatever_a_bot_sends_there_is_an_answer(body: bytes, status: int, complete: bool) -> None:
    assert isinstance(read(body, status, complete), Answered | Broken)


def test_the_breaker_opens_after_failures_in_a_row_and_tries_with_one_request() -> None:
    breaker, now = Breaker(), NOW
    for _ in range(FAILURES):
        assert breaker.allows(now)
        breaker = breaker.asked().answered(False, now)
    assert not breaker.allows(now)
    later = now + timedelta(seconds=OPEN_FOR_S)
    assert breaker.allows(later)
    trying = breaker.asked()
    assert not trying.allows(later)
    assert not trying.answered(False, later).allows(later)
    assert trying.answered(True, later) == Breaker()


def test_a_few_bad_answers_are_somebody_trying_out_a_bot() -> None:
    breaker = Breaker()
    for _ in range(19):
        breaker = breaker.asked().answered(False, NOW)
    assert breaker.allows(NOW)
    assert not breaker.asked().answered(False, NOW).allows(NOW)


def test_a_good_answer_in_between_closes_the_breaker() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker = breaker.answered(False, NOW)
    assert breaker.answered(True, NOW).answered(False, NOW).allows(NOW)


class FakeBot:
    """Answers as told, in order; then says hello."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []
        self.deadlines: list[float] = []
        self.hangs = False

    async def ask(self, request: Request, channel: Channel, deadline_s: float) -> Answer:
        self.asked.append(request)
        self.deadlines.append(deadline_s)
        if self.hangs:
            await asyncio.Event().wait()
        answer = self.answers.pop(0) if self.answers else Answered(("hello",))
        if isinstance(answer, Exception):
            raise answer
        return answer


class Booth:
    """An asker over stores in memory."""

    def __init__(self, bot: FakeBot, deadline_s: float = 10.0, tracing: Tracing = OFF) -> None:
        self.bot, self.clock = bot, SteppingClock()
        self.store, self.fences = MemoryRequests(), MemoryDeliveries()
        self.reports = MemoryReports(self.store.pending)
        self.channels = {CHANNEL: channel()}
        kinds = {"webhook": bot}
        desk = BotDesk(self.store, self.reports, self.fences, kinds, self.channels.get, self.clock, tracing)
        self.asker = Asker(desk, deadline_s, Metrics())

    async def ask(self, *requests: Request) -> list[BotReply | BotFailed]:
        """Turns until the lane is empty or wants to wait; what routing was told."""
        await self.store.add([(one, self.clock.now()) for one in requests])
        while (at := await self.asker.turn(LANE, False)) is not None and at <= self.clock.now():
            pass
        return self.told()

    def told(self) -> list[BotReply | BotFailed]:
        commands = [decode_command(record.value or b"") for record in self.reports.published]
        assert all(record.key == LANE.key for record in self.reports.published)
        return [command for command in commands if isinstance(command, BotReply | BotFailed)]


async def test_an_answer_becomes_one_command_with_the_id_of_the_question() -> None:
    (said,) = await Booth(FakeBot(Answered(("a", "b"), handoff=True))).ask(request(epoch=2))
    assert isinstance(said, BotReply)
    assert said.id == bot_reply_id(request().record.message.id, 2)
    assert [reply.text for reply in said.replies] == ["a", "b"] and said.handoff and said.epoch == 2
    assert said.actor.tag == "bot"


async def test_questions_of_a_conversation_are_asked_one_after_the_other() -> None:
    booth = Booth(FakeBot())
    told = await booth.ask(request(5), request(3), request(4))
    assert [said.request_message_id[-1] for said in told] == ["3", "4", "5"]
    assert [one.record.message.seq for one in booth.bot.asked] == [3, 4, 5]


async def test_a_quick_failure_is_tried_once_more() -> None:
    booth = Booth(FakeBot(Broken("HTTP_500", again=True)))
    (said,) = await booth.ask(request())
    assert isinstance(said, BotReply) and len(booth.bot.asked) == 2


async def test_two_failures_are_a_failure() -> None:
    booth = Booth(FakeBot(*[Broken("HTTP_500", again=True)] * 3))
    (said,) = await booth.ask(request())
    assert isinstance(said, BotFailed) and said.reason == "HTTP_500" and len(booth.bot.asked) == 2


async def test_what_asking_again_cannot_mend_is_not_asked_again() -> None:
    booth = Booth(FakeBot(Broken("GARBAGE")))
    (said,) = await booth.ask(request())
    assert isinstance(said, BotFailed) and len(booth.bot.asked) == 1


async def test_a_bot_that_hangs_costs_its_deadline_once() -> None:
    bot = FakeBot()
    bot.hangs = True
    (said,) = await Booth(bot, deadline_s=0.05).ask(request())
    assert isinstance(said, BotFailed) and said.reason == "NO_ANSWER" and len(bot.asked) == 1


async def test_a_bug_in_a_bot_kind_is_a_failure_of_the_bot() -> None:
    (said,) = await Booth(FakeBot(ValueError("oops"))).ask(request())
    assert isinstance(said, BotFailed) and said.reason == "INTERNAL"


async def test_a_question_older_than_a_minute_is_not_asked() -> None:
    booth = Booth(FakeBot())
    (said,) = await booth.ask(request(requested_at=NOW - timedelta(seconds=60)))
    assert isinstance(said, BotFailed) and said.reason == "EXPIRED" and not booth.bot.asked


async def test_a_question_is_never_waited_for_past_its_minute() -> None:
    booth = Booth(FakeBot())
    await booth.ask(request(requested_at=NOW - timedelta(seconds=57)))
    assert booth.bot.deadlines == [3.0]


async def test_a_bot_that_was_disabled_meanwhile_is_not_asked() -> None:
    booth = Booth(FakeBot())
    booth.fences.fences[LANE.key] = 1
    assert await booth.ask(request(epoch=0)) == [] and not booth.bot.asked
    assert booth.store.ended == {request(epoch=0).ident: "overtaken"}
    (said,) = await booth.ask(request(epoch=1))
    assert isinstance(said, BotReply)


@pytest.mark.parametrize("changes", [{"bot": None}, {"deleted": True}, {"workspace": "globex"}])
async def test_a_channel_without_a_bot_is_a_failure(changes: dict[str, object]) -> None:
    booth = Booth(FakeBot())
    booth.channels[CHANNEL] = channel(**changes)
    (said,) = await booth.ask(request())
    assert isinstance(said, BotFailed) and said.reason == "NO_BOT" and not booth.bot.asked


async def test_a_channel_that_is_not_known_yet_is_waited_for_until_the_question_is_too_old() -> None:
    booth = Booth(FakeBot())
    booth.channels.clear()
    assert await booth.ask(request()) == []
    booth.clock.move(60)
    (said,) = await booth.ask()
    assert isinstance(said, BotFailed) and said.reason == "EXPIRED"


async def test_a_bot_that_keeps_failing_is_left_alone_for_a_while() -> None:
    booth = Booth(FakeBot(*[Broken("GARBAGE")] * FAILURES))
    told = await booth.ask(*(request(n) for n in range(1, FAILURES + 3)))
    reasons = [said.reason for said in told if isinstance(said, BotFailed)]
    assert reasons == ["GARBAGE"] * FAILURES + ["CIRCUIT_OPEN"] * 2
    assert len(booth.bot.asked) == FAILURES
    booth.clock.move(OPEN_FOR_S)
    told = await booth.ask(request(50))
    assert isinstance(told[-1], BotReply)


async def test_while_the_broker_is_away_the_answer_is_kept_for_the_sweep() -> None:
    booth = Booth(FakeBot())
    booth.reports.away = True
    assert await booth.ask(request()) == []
    booth.reports.away = False
    await booth.reports.tell_left([3])
    assert len(booth.told()) == 1
