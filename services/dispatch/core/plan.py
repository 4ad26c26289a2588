"""What to do about the head of a lane now, and what an outcome makes of it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, assert_never

from services.dispatch.core.delivery import BOT_SILENCED, Claim, Delivery, End, error_text
from services.dispatch.core.outcome import Failed, Lost, Outcome, Retry, Sent
from shared.contracts.times import from_timestamp

ChannelSeen = Literal["ready", "unknown", "gone", "unsupported"]
"""`unknown`: not in the table (yet); `gone`: deleted, or another workspace's; `unsupported`: we don't know its kind."""


LEASE_MARGIN_S = 2.0
"""Between the longest an attempt may take and the moment another owner may take over: for clocks that differ."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Patience, in seconds. `lifetime_s` counts from the moment routing queued the message."""

    first_delay_s: float = 1.0
    longest_delay_s: float = 300.0
    longest_retry_after_s: float = 3600.0
    lifetime_s: float = 24 * 3600.0
    unknown_channel_s: float = 60.0
    look_again_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Timing:
    """`attempt_s`: the longest an attempt may take, its fence included."""

    attempt_s: float = 13.0
    rules: Rules = field(default_factory=Rules)

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.attempt_s + LEASE_MARGIN_S)


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known when a lane's head is looked at.

    `fence`: the conversation's greatest fence epoch (0 without one); `idempotent`: the channel deduplicates by our id;
    `hurried`: whatever the head waits for may have changed, so its `next_at` doesn't count.
    """

    now: datetime
    claim: Claim
    fence: int = 0
    channel: ChannelSeen = "ready"
    idempotent: bool = True
    hurried: bool = False
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Finish:
    """It ends without another attempt; store `after`."""

    after: Delivery


@dataclass(frozen=True, slots=True)
class Attempt:
    """Store `after`, the claim, before the first byte goes out."""

    after: Delivery


Plan = Wait | Finish | Attempt


def plan(head: Delivery, sight: Sight) -> Plan:
    """The rules of DESIGN 3.7, in the order in which they count."""
    if head.claim is not None and head.claim.until > sight.now:
        return Wait(head.claim.until)
    if (verdict := _verdict(head, sight)) is not None:
        return Finish(head.ended(verdict))
    if (until := _holding(head, sight)) is not None:
        return Wait(until)
    return Attempt(head.claimed(sight.claim))


def silenced(head: Delivery, fence: int) -> bool:
    """A bot's message of an epoch that was fenced (DESIGN 6)."""
    return head.record.bot_epoch is not None and head.record.bot_epoch < fence


def expires_at(head: Delivery, rules: Rules) -> datetime:
    return from_timestamp(head.record.queued_at) + timedelta(seconds=rules.lifetime_s)


def settled(attempted: Delivery, outcome: Outcome, sight: Sight, jitter: float) -> Delivery:
    """The delivery after its attempt; `jitter` in [0, 1)."""
    match outcome:
        case Sent(provider_message_id):
            return attempted.ended(End("sent", sight.now, provider_message_id))
        case Failed(code, detail):
            return attempted.ended(End("failed", sight.now, error=error_text(code, detail)))
        case Retry(detail, after_s):
            return attempted.postponed(next_at(attempted, after_s, sight, jitter), detail)
        case Lost(detail) if sight.idempotent:
            return attempted.postponed(next_at(attempted, None, sight, jitter), detail)
        case Lost(detail):
            return attempted.ended(End("unknown", sight.now, error=error_text("RESULT_UNKNOWN", detail)))
        case _:
            assert_never(outcome)


def next_at(attempted: Delivery, after_s: float | None, sight: Sight, jitter: float) -> datetime:
    """Not sooner than the backoff nor than the channel asked for (bounded); not later than the end of its life."""
    asked = min(after_s or 0.0, sight.rules.longest_retry_after_s)
    delay = max(asked, backoff_s(attempted.attempt - attempted.patience_from, sight.rules, jitter))
    return min(sight.now + timedelta(seconds=delay), expires_at(attempted, sight.rules))


def backoff_s(attempt: int, rules: Rules, jitter: float) -> float:
    """Doubles with every attempt up to the longest; jitter takes away up to half, so that lanes don't come in step."""
    full = min(rules.longest_delay_s, rules.first_delay_s * 2.0 ** min(max(attempt, 1) - 1, 30))
    return full * (1 - jitter / 2)


def _verdict(head: Delivery, sight: Sight) -> End | None:
    """The end that is certain already, without another attempt."""
    now = sight.now
    if head.claim is not None and not sight.idempotent:
        return End("unknown", now, error=error_text("RESULT_UNKNOWN", "interrupted while it was handed over"))
    if silenced(head, sight.fence):
        return End("failed", now, error=BOT_SILENCED)
    if now >= expires_at(head, sight.rules):
        return End("failed", now, error="DELIVERY_EXPIRED")
    if sight.channel == "gone" or (sight.channel == "unknown" and now >= _known_by(head, sight.rules)):
        return End("failed", now, error="CHANNEL_GONE")
    return None


def _holding(head: Delivery, sight: Sight) -> datetime | None:
    """Until when the head has to wait; None where it may go."""
    if sight.channel == "unknown":
        return sight.now + timedelta(seconds=sight.rules.look_again_s)
    if sight.channel == "unsupported":
        return sight.now + timedelta(seconds=sight.rules.longest_delay_s)
    lapsed = head.claim is not None
    if not lapsed and not sight.hurried and head.next_at > sight.now:
        return head.next_at
    return None


def _known_by(head: Delivery, rules: Rules) -> datetime:
    return head.inserted_at + timedelta(seconds=rules.unknown_channel_s)
