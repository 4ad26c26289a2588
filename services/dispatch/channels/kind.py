"""What a kind of channel has to say for itself on the way out. Knows neither lanes nor retries nor Kafka."""

from dataclasses import dataclass
from typing import Protocol

from services.dispatch.core.channel import Channel
from services.dispatch.core.delivery import Delivery
from services.dispatch.core.outcome import Outcome
from services.dispatch.ports import Http


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`idempotent`: the channel recognizes a repeat by our message id, so an unanswered attempt may be repeated."""

    idempotent: bool


class Kind(Protocol):
    @property
    def capabilities(self) -> Capabilities: ...

    async def deliver(self, delivery: Delivery, channel: Channel, http: Http) -> Outcome:
        """One attempt, through `http` alone. What `http` raises may pass through; anything else counts as a bug."""
