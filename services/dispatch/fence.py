"""The bot fence (DESIGN 6): asked before each attempt of a bot's message, the connection standing, nothing written.

Whatever was acknowledged on the partition before the last question is known here, however far behind this process was,
and after that question nothing is waited for but its answer. Left: a call already under way, or a process frozen
between this check and the write.
"""

import asyncio
from typing import Protocol

from services.dispatch.core.delivery import Delivery
from services.dispatch.core.plan import silenced
from services.dispatch.lanes import Lane
from shared.contracts.topics import CHANNEL_OUTBOUND
from shared.runtime.faults import Fenced, Transient
from shared.runtime.records import Partition

LOOK_EVERY_S = 0.005


class Silenced(Exception):
    """A person has taken over: this message must not go out."""


class Partitions(Protocol):
    """The group consumer of `channel.outbound`, as far as the fence needs it."""

    def owns(self, partition: Partition) -> bool: ...

    def position(self, partition: Partition) -> int:
        """All below it has been stored. Fenced when the partition isn't ours."""

    async def end_offset(self, partition: Partition) -> int:
        """From the broker, now. Transient without an answer."""


class Fence:
    """`patience_s`: how long an attempt may wait until this process has caught up with the partition."""

    def __init__(self, partitions: Partitions, patience_s: float) -> None:
        self._partitions = partitions
        self._patience_s = patience_s

    async def check(self, delivery: Delivery, lane: Lane) -> None:
        """Return when the message may be written now: what this process has stored of the partition is all there is.

        Silenced: never. Fenced: the partition is somebody else's. Transient: it can't be said yet; nothing was written.
        The epochs are compared in memory, so that no wait lies between the broker's answer and the first byte.
        """
        if delivery.record.bot_epoch is None:
            return
        at = (CHANNEL_OUTBOUND, delivery.partition)
        await self._caught_up(at)
        if not (lane.live and self._partitions.owns(at)):
            raise Fenced(f"partition {at[0]}/{at[1]} is not ours")
        if silenced(delivery, lane.epoch):
            raise Silenced

    async def _caught_up(self, at: Partition) -> None:
        """After a wait the broker is asked anew: a fence may have been acknowledged meanwhile."""
        try:
            async with asyncio.timeout(self._patience_s):
                while (end := await self._partitions.end_offset(at)) > self._partitions.position(at):
                    while self._partitions.position(at) < end:  # noqa: ASYNC110 - the consumer has no event for it
                        await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise Transient(f"not caught up with {at[0]}/{at[1]} within {self._patience_s:g} s") from None
