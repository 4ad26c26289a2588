"""Ranges of `workspace.events` from Kafka, for `Backfill`: what retention has taken is left out instead of an error."""

from collections.abc import Sequence

from shared.contracts.topics import WORKSPACE_EVENTS
from shared.runtime.end_offsets import EndOffsets
from shared.runtime.messaging import Messaging
from shared.runtime.range_reader import OffsetGone, read_range
from shared.runtime.records import Record


class LogReader:
    """A component."""

    def __init__(self, messaging: Messaging) -> None:
        self._messaging = messaging
        self._ends = EndOffsets(messaging)

    async def start(self) -> None:
        await self._ends.start()

    async def stop(self) -> None:
        await self._ends.stop()

    async def read(self, partition: int, first: int, end: int) -> Sequence[Record]:
        """The records from `first` to `end - 1` that the log still holds. Transient; OffsetGone beyond its end."""
        try:
            return await self._read(partition, first, end)
        except OffsetGone:
            at = (WORKSPACE_EVENTS, partition)
            oldest = (await self._ends.first([at]))[at]
            if oldest <= first:
                raise
            return await self._read(partition, oldest, end)

    async def _read(self, partition: int, first: int, end: int) -> Sequence[Record]:
        return await read_range(self._messaging, WORKSPACE_EVENTS, partition, (first, end), end - first)
