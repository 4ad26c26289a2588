"""One turn of a delivery lane: look at the head, claim it, hand it over, write what came of it, tell routing.

The order of the writes is the protocol of DESIGN 3.7; README.md says what a death between any two of them leaves.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from services.dispatch.channels.kind import Kind
from services.dispatch.core.channel import Channel
from services.dispatch.core.delivery import BOT_SILENCED, Claim, Delivery, report
from services.dispatch.core.outcome import Failed, Lost, Outcome
from services.dispatch.core.plan import Attempt, ChannelSeen, Finish, Sight, Timing, Wait, plan, settled
from services.dispatch.fence import Fence, Silenced
from services.dispatch.insisting import insist, publish
from services.dispatch.lanes import Lane
from services.dispatch.ports import DeliveryStore, Http, Reports
from services.dispatch.reporting import told_of
from shared.runtime.clock import Clock
from shared.runtime.faults import Fenced, Transient
from shared.runtime.metrics import Metrics
from shared.runtime.outbound_http import Gate
from shared.runtime.tracing import OFF, Attributes, Tracing, resumed

log = structlog.stdlib.get_logger(__name__)

LOOK_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Desk:
    """What a sender works with. `http` makes the way out of one attempt; `jitter` answers numbers in [0, 1)."""

    store: DeliveryStore
    reports: Reports
    fence: Fence
    kinds: Mapping[str, Kind]
    channel: Callable[[str], Channel | None]
    http: Callable[[Gate], Http]
    clock: Clock
    jitter: Callable[[], float]
    tracing: Tracing = OFF


@dataclass(frozen=True, slots=True)
class Moment:
    """A lane in its turn, and what was seen when the turn was planned."""

    lane: Lane
    sight: Sight


class Sender:
    """`Work` for delivery lanes. `owner` is unique to this life of this process."""

    def __init__(self, desk: Desk, owner: str, timing: Timing, metrics: Metrics) -> None:
        self._desk = desk
        self._owner = owner
        self._timing = timing
        self._metrics = metrics

    async def turn(self, lane: Lane, hurried: bool) -> datetime | None:
        head = await self._desk.store.head(lane.key, lane.partition[1])
        if head is None:
            return None
        if head.record.bot_epoch is not None:
            lane.fenced(await self._desk.store.epoch(lane.key))
        channel = self._desk.channel(head.record.channel_id)
        sight = self._sight(head, channel, lane.epoch, hurried)
        match plan(head, sight):
            case Wait(until):
                return until
            case Finish(after):
                await self._store(head, after)
            case Attempt(after):
                if channel is not None and await self._desk.store.swap(head, after):
                    return await self._attempt(after, channel, Moment(lane, sight))
        return self._desk.clock.now()

    async def _attempt(self, claimed: Delivery, channel: Channel, moment: "Moment") -> datetime:
        """From the claim to the outcome; when the lane wants its next turn."""
        try:
            with resumed(self._desk.tracing, claimed.trace, f"deliver {channel.kind}", _attributes(claimed)) as span:
                outcome = await self._hand_over(claimed, channel, moment.lane)
                if span is not None:
                    span.note({"relaydesk.outcome": type(outcome).__name__.lower()})
        except (Fenced, Transient) as error:
            log.info("an attempt was put off", delivery=claimed.ident, reason=str(error))
            again = self._desk.clock.now() + timedelta(seconds=LOOK_AGAIN_S)
            await self._desk.store.swap(claimed, claimed.released(again))
            return again
        now = self._desk.clock.now()
        after = settled(claimed, outcome, replace(moment.sight, now=now), self._desk.jitter())
        self._metrics.counter("delivery_attempts", kind=channel.kind, outcome=type(outcome).__name__.lower()).inc()
        await self._store(claimed, after)
        return now if after.end else after.next_at

    async def _hand_over(self, claimed: Delivery, channel: Channel, lane: Lane) -> Outcome:
        """Raises Fenced or Transient where nothing was written and nothing can be said yet."""
        http = self._desk.http(lambda: self._gate(claimed, lane))
        try:
            async with asyncio.timeout(self._timing.attempt_s):
                return await self._desk.kinds[claimed.record.channel_kind].deliver(claimed, channel, http)
        except Silenced:
            return Failed(BOT_SILENCED)
        except TimeoutError:
            return Lost("timed out")
        except (Fenced, Transient):
            raise
        except Exception as error:
            log.exception("a channel kind failed", kind=channel.kind, delivery=claimed.ident)
            return Lost(type(error).__name__)

    async def _gate(self, claimed: Delivery, lane: Lane) -> None:
        """The last look before the first byte: fence, erasure, and that the claim still holds. No await follows."""
        await self._desk.fence.check(claimed, lane)
        if claimed.record.seq <= lane.erased_to:
            raise Fenced("its contact was erased before the first byte")
        if claimed.claim is None or self._desk.clock.now() >= claimed.claim.until:
            raise Fenced("the claim ran out before the first byte")

    async def _store(self, seen: Delivery, after: Delivery) -> None:
        """Write the outcome, then tell it."""
        told = told_of(after, self._desk.channel(after.record.channel_id))
        stored = await insist(lambda: self._desk.store.swap(seen, after, told), after.ident)
        if after.end is None or told is None:
            return
        if not stored and not await insist(lambda: self._is_stored(after), after.ident):
            log.warning("another outcome is stored already, and it counts", delivery=after.ident)
            return
        self._metrics.counter("deliveries_ended", outcome=after.end.outcome).inc()
        await publish(self._desk.reports, after.ident, told)

    async def _is_stored(self, after: Delivery) -> bool:
        """Whether this very end is there: our write, its answer lost. Any other end is told by whoever wrote it."""
        found = await self._desk.store.find(after.record.workspace, after.record.message_id)
        return found is not None and found.end is not None and report(found, None) == report(after, None)

    def _sight(self, head: Delivery, channel: Channel | None, fence: int, hurried: bool) -> Sight:
        kind = self._desk.kinds.get(head.record.channel_kind)
        now = self._desk.clock.now()
        return Sight(
            now=now,
            claim=Claim(self._owner, now + self._timing.lease),
            fence=fence,
            channel=_seen(head, channel, kind),
            idempotent=kind is not None and kind.capabilities.idempotent,
            hurried=hurried,
            rules=self._timing.rules,
        )


def _seen(head: Delivery, channel: Channel | None, kind: Kind | None) -> ChannelSeen:
    if channel is None:
        return "unknown"
    if channel.deleted or channel.workspace != head.record.workspace:
        return "gone"
    return "unsupported" if kind is None else "ready"


def _attributes(claimed: Delivery) -> Attributes:
    record = claimed.record
    return {
        "relaydesk.workspace": record.workspace,
        "relaydesk.conversation_id": record.conversation_id,
        "relaydesk.message_id": record.message_id,
        "relaydesk.attempt": claimed.attempt,
    }
