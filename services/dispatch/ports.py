"""What the parts of dispatch expect of each other; `app.py` puts the real things in, tests their twins."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.dispatch.core.delivery import Delivery, State
from services.dispatch.core.outcome import Reply
from shared.contracts.commands import SentAttachment
from shared.runtime.records import Outgoing


@dataclass(frozen=True, slots=True)
class LaneStart:
    """A lane that isn't empty, and when its head wants to be looked at."""

    key: str
    partition: int
    channel_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Query:
    """Deliveries of one workspace in the order of their ids, those behind `after` (a message id)."""

    workspace: str
    states: Sequence[State]
    channel_id: str | None
    after: str | None
    limit: int


class DeliveryStore(Protocol):
    """Calls raise the database's errors while it is away; each may be repeated."""

    async def add(self, deliveries: Sequence[Delivery], fences: Mapping[str, int]) -> None:
        """Deliveries in their lanes' order; those already there stay as they are. Fences (lane -> epoch) only rise."""

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]:
        """All lanes with open deliveries in these partitions."""

    async def head(self, lane: str, partition: int) -> Delivery | None:
        """The open delivery with the lowest seq, body and all."""

    async def find(self, workspace: str, message_id: str) -> Delivery | None:
        """None where this workspace has no such delivery (any more)."""

    async def epoch(self, lane: str) -> int:
        """The greatest epoch of a fence of this conversation; 0 without one."""

    async def swap(self, seen: Delivery, after: Delivery, report: Outgoing | None = None) -> bool:
        """Compare-and-set: store `after`, with `report` to be published, if the stored one is still as `seen`."""


class DeliveryBook(Protocol):
    """Deliveries as members meet them, whoever owns their lanes. Calls raise the database's errors while it is away."""

    async def find(self, workspace: str, message_id: str) -> Delivery | None:
        """As `DeliveryStore.find`."""

    async def page(self, query: Query) -> list[Delivery]:
        """At most `query.limit`."""

    async def swap(self, seen: Delivery, after: Delivery, report: Outgoing | None = None) -> bool:
        """As `DeliveryStore.swap`."""

    async def nudged(self, since: datetime) -> list[str]:
        """The lanes into which a member reached since then."""


class Reports(Protocol):
    """The way out of an entry's document. May raise while an engine is away: what is left is swept later."""

    async def tell(self, ident: str, record: Outgoing) -> None:
        """Publish what was stored with the entry's end, then take it out."""

    async def tell_left(self, partitions: Iterable[int]) -> None:
        """Publish what another owner of these partitions left in its documents."""


class Http(Protocol):
    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """One POST, no redirect followed, the answer read up to a limit.

        Raises NotBegun or Unanswered (shared.runtime.outbound_http), or the gate's Silenced, Fenced, Transient: then
        nothing was written.
        """


class Links(Protocol):
    def url(self, attachment: SentAttachment, rendition: str) -> str:
        """A signed address where the channel can fetch the file for a while.

        Offline. ValueError where the attachment has no such rendition.
        """
