"""A message on its way to a channel, and the only ways it may change. Values: a change makes a new one."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

from shared.contracts.ids import canonical, document_key
from shared.contracts.inbound import DeliveryReported
from shared.contracts.outbound import DeliverMessage
from shared.contracts.times import to_timestamp

State = Literal["waiting", "attempting", "sent", "failed", "unknown"]
Ending = Literal["sent", "failed", "unknown"]
OPEN: tuple[State, ...] = ("waiting", "attempting")
MAX_ERROR = 1_000
BOT_SILENCED = "BOT_SILENCED"
CANCELLED = "CANCELLED"
CONTACT_ERASED = "CONTACT_ERASED"
_MEANT = {BOT_SILENCED: "silenced", CANCELLED: "cancelled", CONTACT_ERASED: "erased"}
"""Error code -> outcome of what was not sent because somebody wanted it so: in no operator's count of failures."""


class IllegalChange(ValueError):
    """A delivery cannot go from its state to that one."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who is handing it over, and until when nobody else may."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True)
class End:
    """How it ended. `error`: a code of shared.contracts.errors, perhaps followed by `: detail`."""

    state: Ending
    at: datetime
    provider_message_id: str | None = None
    error: str | None = None

    @property
    def outcome(self) -> str:
        """For the metrics: its state, or why it was not to be sent."""
        return _MEANT.get(self.error or "", self.state)


@dataclass(frozen=True, slots=True)
class Delivery:
    """`attempt`: how many have begun; `next_at`: the earliest time of the next. `claim` is set while attempting.

    `trouble`: why the latest attempt was none, for people. `patience_from`: how many attempts had begun when a member
    last asked for a retry: the backoff counts from there. `nudged_at`: when one last retried or cancelled it. `trace`:
    the header that its report carries on; None: it is of no trace. `erased`: only its skeleton is left
    (core/erasing.py).
    """

    record: DeliverMessage
    partition: int
    inserted_at: datetime
    next_at: datetime
    attempt: int = 0
    claim: Claim | None = None
    end: End | None = None
    trouble: str | None = None
    patience_from: int = 0
    nudged_at: datetime | None = None
    trace: bytes | None = None
    erased: bool = False

    @property
    def ident(self) -> str:
        return document_key(self.record.workspace, self.record.message_id)

    @property
    def lane(self) -> str:
        return document_key(self.record.workspace, self.record.conversation_id)

    @property
    def state(self) -> State:
        if self.end is not None:
            return self.end.state
        return "attempting" if self.claim is not None else "waiting"

    def claimed(self, claim: Claim) -> "Delivery":
        """One more attempt begins; also over a claim that ran out."""
        if self.end is not None:
            raise IllegalChange(f"{self.state} -> attempting")
        return replace(self, attempt=self.attempt + 1, claim=claim)

    def released(self, next_at: datetime) -> "Delivery":
        """Nothing was handed over: as if the attempt had not begun."""
        self._must_be_attempting("waiting")
        return replace(self, attempt=self.attempt - 1, claim=None, next_at=next_at)

    def postponed(self, next_at: datetime, trouble: str) -> "Delivery":
        """The attempt came to nothing; the next one not before `next_at`."""
        self._must_be_attempting("waiting")
        return replace(self, claim=None, next_at=next_at, trouble=trouble[:MAX_ERROR])

    def ended(self, end: End) -> "Delivery":
        if self.end is not None:
            raise IllegalChange(f"{self.state} -> {end.state}")
        return replace(self, claim=None, end=end)

    def _must_be_attempting(self, to: State) -> None:
        if self.state != "attempting":
            raise IllegalChange(f"{self.state} -> {to}")


def error_text(code: str, detail: str = "") -> str:
    return (f"{code}: {detail}" if detail else code)[:MAX_ERROR]


def report(delivery: Delivery, bot_kind: str | None) -> DeliveryReported:
    """What routing is told of an ended delivery; the same id, however often it is made. IllegalChange while open."""
    end, record = delivery.end, delivery.record
    if end is None:
        raise IllegalChange("an open delivery has nothing to report")
    return DeliveryReported(
        id=str(uuid5(UUID(record.conversation_id), canonical("delivery", record.message_id, delivery.attempt))),
        workspace=record.workspace,
        channel_id=record.channel_id,
        channel_kind=record.channel_kind,
        bot_kind=bot_kind,
        conversation_id=record.conversation_id,
        accepted_at=to_timestamp(end.at),
        message_id=record.message_id,
        attempt=delivery.attempt,
        status=end.state,
        provider_message_id=end.provider_message_id,
        error=end.error,
    )
