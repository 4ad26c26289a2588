"""What the parts of dispatch expect of each other; `app.py` puts the real things in, tests their twins."""

from collections.abc import Collection, Iterable, Mapping, Sequence
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


class DeliveryShelf(Protocol):
    """Where deliveries come in. Calls raise the database's errors while it is away; each may be repeated."""

    async def add(self, deliveries: Sequence[Delivery], fences: Mapping[str, int]) -> Collection[str]:
        """Deliveries in their lanes' order; those already there stay as they are. Fences (lane -> epoch) only rise.

        Answers the `ident` of those that are new.
        """

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]:
        """All lanes with open deliveries in these partitions."""

    async def erase(self, lane: str, up_to_seq: int, at: datetime) -> int:
        """Leave the skeletons (core/erasing.py) of what is stored up to there, whatever its state and whoever is at it.

        What one of them had to report is not told any more. Answers how many were open.
        """


class DeliveryStore(Protocol):
    """Deliveries as their lane's turns meet them. Calls raise the database's errors while it is away; each may be
    repeated."""

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


class Erasures(Protocol):
    """Up to where conversations were erased, kept longer than any record of theirs can turn up again (a replayed dead
    letter, too). Calls raise the database's errors while it is away; each may be repeated."""

    async def raised(self, erasures: Mapping[str, int], lanes: Iterable[str]) -> Mapping[str, int]:
        """Keep these (lane -> seq; they only rise), then answer what is known of `lanes`."""


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
