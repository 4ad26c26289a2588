"""Asking the broker where partitions begin and end."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from shared.runtime.faults import Transient
from shared.runtime.records import Partition

if TYPE_CHECKING:
    from shared.runtime.messaging import Messaging


class EndOffsets:
    """A component with a connection of its own: a broker answers a connection's requests one by one, and the consumer's
    is busy with a fetch that waits up to half a second for records."""

    def __init__(self, messaging: "Messaging", deadline_s: float = 5.0) -> None:
        self._messaging = messaging
        self._deadline_s = deadline_s
        self._client: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        client = self._messaging.reader_client()
        try:
            await client.start()
        except BaseException as error:
            await client.stop()
            if isinstance(error, KafkaError):
                raise Transient(f"Kafka does not answer: {error}") from error
            raise
        self._client = client

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.stop()

    async def first(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The offsets of the oldest records still there (= the end, where there is none)."""
        return await self._ask("beginning_offsets", partitions)

    async def end(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The offsets that the next records will get. Raises Transient when there is no answer in time."""
        return await self._ask("end_offsets", partitions)

    async def since(self, partitions: Iterable[Partition], at_ms: int) -> dict[Partition, int | None]:
        """The offsets of the first records written at `at_ms` or later; None where there is none."""
        times = {self._messaging.partition(at): at_ms for at in partitions}
        found = await self._answer("offsets_for_times", times)
        return {self._messaging.registered(at): place and place.offset for at, place in found.items()}

    async def _ask(self, question: str, partitions: Iterable[Partition]) -> dict[Partition, int]:
        answer = await self._answer(question, [self._messaging.partition(at) for at in partitions])
        return {self._messaging.registered(at): offset for at, offset in answer.items()}

    async def _answer(self, question: str, about: object) -> dict[TopicPartition, Any]:
        if self._client is None:
            raise Transient("not connected to Kafka")
        try:
            async with asyncio.timeout(self._deadline_s):
                answer: dict[TopicPartition, Any] = await getattr(self._client, question)(about)
        except (KafkaError, TimeoutError) as error:
            raise Transient(
                f"Kafka did not say where partitions begin and end: {type(error).__name__}: {error}"
            ) from error
        return answer
