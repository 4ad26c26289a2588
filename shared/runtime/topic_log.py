"""Whole topics, read once by a command: each partition from its beginning, or from a moment on, to its end of now."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING

from shared.contracts.topics import TOPICS
from shared.runtime.end_offsets import EndOffsets
from shared.runtime.progress import Progress, Tell
from shared.runtime.range_reader import read_range
from shared.runtime.records import Partition, Record
from shared.runtime.tasks import check_cancelled

if TYPE_CHECKING:
    from shared.runtime.messaging import Messaging

AT_ONCE = 5_000
Span = tuple[int, int]


class TopicLog:
    """`since`: what Kafka took in before is passed over, but for compacted topics. Calls raise Transient while Kafka is
    away."""

    def __init__(self, messaging: "Messaging", offsets: EndOffsets, tell: Tell, since: datetime | None = None) -> None:
        self._messaging = messaging
        self._offsets = offsets
        self._tell = tell
        self._since_ms = None if since is None else int(since.timestamp() * 1000)

    async def spans(self, topic: str) -> dict[Partition, Span]:
        """Partition -> its first offset behind `since`, and the one that its next record gets."""
        spans = await self.spans_of_all(topic)
        if self._since_ms is None or TOPICS[topic].cleanup != "delete":
            return spans
        later = await self._offsets.since(spans, self._since_ms)
        return {
            at: (end if (start := later[at]) is None else max(first, start), end) for at, (first, end) in spans.items()
        }

    async def spans_of_all(self, topic: str) -> dict[Partition, Span]:
        """The same, whatever `since` is."""
        partitions = [self._messaging.registered(at) for at in await self._messaging.partitions_of(topic)]
        first, end = await self._offsets.first(partitions), await self._offsets.end(partitions)
        return {at: (first[at], end[at]) for at in partitions}

    async def chunks(self, topic: str) -> AsyncIterator[list[Record]]:
        """Some thousand records of one partition at a time. OffsetGone where Kafka deletes them meanwhile."""
        spans = await self.spans(topic)
        total, done = sum(end - start for start, end in spans.values()), 0
        for at, (start, end) in spans.items():
            while start < end:
                check_cancelled()
                records = await read_range(self._messaging, topic, at[1], (start, end), AT_ONCE)
                after = records[-1].offset + 1 if len(records) == AT_ONCE else end
                if records:
                    yield records
                done, start = done + after - start, after
                self._tell(Progress(topic, done, total))
