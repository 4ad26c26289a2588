"""When the read model has all events: what a stream has shown may still have to be written down."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.contracts.topics import WORKSPACE_EVENTS

GROUP = "gateway"
LOOK_EVERY_S = 0.05


class Projection:
    """The gateway's consumer group. A context manager."""

    def __init__(self, kafka: str) -> None:
        self._reader = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
        self._admin = AIOKafkaAdminClient(bootstrap_servers=kafka)

    async def __aenter__(self) -> "Projection":
        await self._reader.start()
        await self._admin.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._admin.close()
        await self._reader.stop()

    async def caught_up(self, within_s: float) -> float:
        """-> the moment (monotonic seconds) at which it had what the log has now. TimeoutError."""
        await self._reader._client.force_metadata_update()
        numbers = self._reader.partitions_for_topic(WORKSPACE_EVENTS) or await self._found()
        ends = await self._reader.end_offsets([TopicPartition(WORKSPACE_EVENTS, number) for number in numbers])
        async with asyncio.timeout(within_s):
            while not await self._has(ends):  # noqa: ASYNC110 - a broker's state
                await asyncio.sleep(LOOK_EVERY_S)
        return time.monotonic()

    async def _found(self) -> set[int]:
        await self._reader._client.add_topic(WORKSPACE_EVENTS)
        return self._reader.partitions_for_topic(WORKSPACE_EVENTS) or set()

    async def _has(self, ends: dict[TopicPartition, int]) -> bool:
        committed = await self._admin.list_consumer_group_offsets(GROUP)
        return all(end == 0 or (at in committed and committed[at].offset >= end) for at, end in ends.items())
