"""One turn of a bot's lane: look at the oldest question, ask, keep the answer, tell routing.

No claim is needed: a question asked twice, after a crash or by two owners, has the same `webhook-id`, and routing takes
the first of its answers (DESIGN 3.7).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from services.dispatch.bots.ports import Bot, Epochs, RequestStore
from services.dispatch.core.bot import Answer, Answered, Broken, Request, command
from services.dispatch.core.breaker import Breaker
from services.dispatch.core.channel import Channel
from services.dispatch.insisting import insist, publish
from services.dispatch.lanes import Lane
from services.dispatch.ports import Reports
from shared.contracts.topics import CONVERSATION_COMMANDS
from shared.contracts.wire import encode
from shared.runtime.clock import Clock
from shared.runtime.metrics import Metrics
from shared.runtime.records import Outgoing
from shared.runtime.traced_records import carrying
from shared.runtime.tracing import OFF, Attributes, Tracing, resumed

log = structlog.stdlib.get_logger(__name__)

SECOND_TRY_AFTER_S = 0.3
LOOK_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class BotDesk:
    """What an asker works with."""

    store: RequestStore
    reports: Reports
    fences: Epochs
    kinds: Mapping[str, Bot]
    channel: Callable[[str], Channel | None]
    clock: Clock
    tracing: Tracing = OFF


class Asker:
    """`Work` for bot lanes. `deadline_s`: for one question, its second try included."""

    def __init__(self, desk: BotDesk, deadline_s: float, metrics: Metrics) -> None:
        self._desk = desk
        self._deadline_s = deadline_s
        self._metrics = metrics
        self._breakers: dict[str, Breaker] = {}

    async def turn(self, lane: Lane, hurried: bool) -> datetime | None:
        head = await self._desk.store.head(lane.key, lane.partition[1])
        if head is None:
            return None
        now = self._desk.clock.now()
        if await self._desk.fences.epoch(head.lane) > head.record.epoch:
            if await self._desk.store.end(head, "overtaken", now, None):
                self._count("overtaken")
            return now
        channel = self._desk.channel(head.record.channel_id)
        if now < head.stale_at and channel is None:
            return now + timedelta(seconds=LOOK_AGAIN_S)
        if _erased(head, lane):
            return now
        await self._tell(head, await self._answer(head, channel, lane))
        return self._desk.clock.now()

    async def _answer(self, head: Request, channel: Channel | None, lane: Lane) -> Answer:
        """Without asking, where that would be of no use."""
        now = self._desk.clock.now()
        if now >= head.stale_at:
            return Broken("EXPIRED")
        if channel is None or channel.deleted or channel.workspace != head.record.workspace or channel.bot is None:
            return Broken("NO_BOT")
        bot = self._desk.kinds.get(channel.bot.kind)
        if bot is None:
            return Broken("UNKNOWN_KIND")
        breaker = self._breakers.get(channel.id, Breaker())
        if not breaker.allows(now):
            return Broken("CIRCUIT_OPEN")
        return await self._guarded(bot, head, channel, lane)

    async def _guarded(self, bot: Bot, head: Request, channel: Channel, lane: Lane) -> Answer:
        """Ask, and remember how it went: a channel is remembered only while its bot fails."""
        self._breakers[channel.id] = self._breakers.get(channel.id, Breaker()).asked()
        answer: Answer = Broken("INTERRUPTED")
        try:
            answer = await self._asked_twice(bot, head, channel, lane)
        finally:
            breaker = self._breakers.get(channel.id, Breaker())
            after = breaker.answered(isinstance(answer, Answered), self._desk.clock.now())
            self._breakers[channel.id] = after
            if after == Breaker():
                del self._breakers[channel.id]
        return answer

    async def _asked_twice(self, bot: Bot, head: Request, channel: Channel, lane: Lane) -> Answer:
        """Once more after a quick failure, as long as there is time: who waits for an answer doesn't wait twice."""
        clock = self._desk.clock
        left_s = min(self._deadline_s, (head.stale_at - clock.now()).total_seconds())
        until = clock.monotonic() + left_s
        answer = await self._asked(bot, head, channel, left_s)
        left_s = until - clock.monotonic() - SECOND_TRY_AFTER_S
        if isinstance(answer, Answered) or not answer.again or left_s <= 0:
            return answer
        await asyncio.sleep(SECOND_TRY_AFTER_S)
        if _erased(head, lane):
            return answer
        return await self._asked(bot, head, channel, left_s)

    async def _asked(self, bot: Bot, head: Request, channel: Channel, deadline_s: float) -> Answer:
        try:
            with resumed(self._desk.tracing, head.trace, "ask bot", _attributes(head)):
                async with asyncio.timeout(deadline_s):
                    return await bot.ask(head, channel, deadline_s)
        except TimeoutError:
            return Broken("NO_ANSWER")
        except Exception:
            log.exception("a bot kind failed", request=head.ident)
            return Broken("INTERNAL")

    async def _tell(self, head: Request, answer: Answer) -> None:
        now = self._desk.clock.now()
        said = command(head, answer, now)
        outcome = "answered" if isinstance(answer, Answered) else answer.reason
        record = Outgoing(CONVERSATION_COMMANDS, head.lane, encode(said), (("type", said.type.encode()),))
        told = carrying(record, head.trace)
        ended = await insist(lambda: self._desk.store.end(head, outcome, now, told), head.ident)
        if not ended and await insist(lambda: self._desk.store.erased(head), head.ident):
            log.info("an answer came after its contact was erased, and is nobody's", request=head.ident)
            return
        self._count(outcome)
        await publish(self._desk.reports, head.ident, told)

    def _count(self, outcome: str) -> None:
        """HTTP statuses are many; a metric's labels are few."""
        self._metrics.counter("bot_requests_ended", outcome="HTTP" if outcome.startswith("HTTP_") else outcome).inc()


def _erased(head: Request, lane: Lane) -> bool:
    return head.record.message.seq <= lane.erased_to


def _attributes(head: Request) -> Attributes:
    record = head.record
    return {
        "relaydesk.workspace": record.workspace,
        "relaydesk.conversation_id": record.conversation_id,
        "relaydesk.message_id": record.message.id,
        "relaydesk.bot_epoch": record.epoch,
    }
