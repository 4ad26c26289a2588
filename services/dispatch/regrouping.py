"""Open lanes follow their conversations when a topic got another number of partitions.

A lane's entries are stored under the partition that its records came from; with another number its next records come
from another one. That change is made while all stands still, so whoever starts first after it moves what is open.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from shared.runtime.producer import partition_for

log = structlog.stdlib.get_logger(__name__)

PartitionOf = Callable[[str], int]
"""Of a lane."""


class Stored(Protocol):
    async def regroup(self, partition_of: PartitionOf) -> int:
        """Have every open lane in its partition; -> how many were in another one."""


class Regrouping:
    """Component: after the stores, before the groups. `lanes`: topic -> what is stored of it; `count`: how many
    partitions a topic has now. Safe to die in between, and in several replicas at once."""

    def __init__(self, lanes: Mapping[str, Stored], count: Callable[[str], Awaitable[int]]) -> None:
        self._lanes = lanes
        self._count = count

    async def start(self) -> None:
        for topic, stored in self._lanes.items():
            await self._regroup(topic, stored)

    async def stop(self) -> None:
        """Nothing is open."""

    async def _regroup(self, topic: str, stored: Stored) -> None:
        count = await self._count(topic)
        if moved := await stored.regroup(lambda lane: partition_for(lane, count)):
            log.info("open lanes follow their partitions", topic=topic, partitions=count, lanes=moved)
