"""What a kind of channel has to say for itself on the way out. Knows neither lanes nor retries nor Kafka."""

from typing import Protocol

from services.dispatch.core.channel import Channel
from services.dispatch.core.delivery import Delivery
from services.dispatch.core.outcome import Outcome
from services.dispatch.ports import Http
from shared.contracts.capabilities import Capabilities


class Kind(Protocol):
    @property
    def capabilities(self) -> Capabilities:
        """The kind's row of the table."""

    async def deliver(self, delivery: Delivery, channel: Channel, http: Http) -> Outcome:
        """One attempt, through `http` alone. What `http` raises may pass through; anything else counts as a bug."""
