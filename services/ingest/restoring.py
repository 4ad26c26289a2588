"""The channels of a restored database, as the compacted topic `channels` has them.

A channel that was made or changed since the backup would be missing here, or change under a version that every reader
has seen already. Repeatable; while nobody runs.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from services.ingest.store import ChannelStore
from shared.contracts.outbound import ChannelRecord
from shared.contracts.topics import CHANNELS
from shared.contracts.wire import Undecodable, decode_channel
from shared.runtime.records import Record


class Topics(Protocol):
    """`shared.runtime.topic_log`."""

    def chunks(self, topic: str) -> AsyncIterator[Sequence[Record]]: ...


async def newest(topics: Topics) -> dict[str, ChannelRecord]:
    """Channel id -> its last version, also of deleted ones."""
    found: dict[str, ChannelRecord] = {}
    async for records in topics.chunks(CHANNELS):
        for record in records:
            row = _row(record)
            if row is not None and (row.id not in found or found[row.id].version < row.version):
                found[row.id] = row
    return found


async def restore(store: ChannelStore, channels: Iterable[ChannelRecord], now: datetime) -> int:
    """-> how many were brought forward. One whose deletion is in the topic no more stays as it is."""
    return sum([await store.catch_up(channel, now) for channel in channels])


def _row(record: Record) -> ChannelRecord | None:
    """None for a tombstone: the row before it says that the channel is deleted."""
    try:
        return decode_channel(record.value) if record.value else None
    except Undecodable:
        return None
