"""What asking a bot needs."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from services.dispatch.core.bot import Answer, Request
from services.dispatch.core.channel import Channel
from services.dispatch.ports import LaneStart
from shared.runtime.records import Outgoing


class RequestStore(Protocol):
    """Calls raise the database's errors while it is away; each may be repeated."""

    async def add(self, requests: Sequence[tuple[Request, datetime]]) -> Collection[str]:
        """With the time of arrival, in the order of their lanes; those already there are left as they are.

        Of an erased one only the skeleton is kept, ended. Answers the `ident` of those that are new.
        """

    async def load(self, partitions: Iterable[int]) -> list[LaneStart]: ...

    async def head(self, lane: str, partition: int) -> Request | None: ...

    async def end(self, request: Request, outcome: str, at: datetime, told: Outgoing | None) -> bool:
        """It is done, with `told` to be published; False where it was done already."""

    async def erase(self, lane: str, up_to_seq: int, at: datetime) -> int:
        """Leave the skeletons of what is stored up to there: no question, no contact, nothing to be told any more.

        Answers how many were open.
        """

    async def erased(self, request: Request) -> bool:
        """Whether only its skeleton is left."""


class Epochs(Protocol):
    async def epoch(self, lane: str) -> int:
        """The greatest epoch of a fence of this conversation; 0 without one."""


class Bot(Protocol):
    """A kind of bot."""

    async def ask(self, request: Request, channel: Channel, deadline_s: float) -> Answer:
        """One question. Whatever the bot does, an Answer comes out; anything raised is a bug."""
