"""A member of a consumer group: polls batches, runs them through a handler, commits exactly their offsets.

FastStream owns the Kafka consumer and the task that polls; what it would do about acks and errors is turned off in
`messaging`.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker
from faststream.kafka.subscriber.usecase import BatchSubscriber

from shared.runtime.batches import Batch, Handler
from shared.runtime.deadletter import Forwarder
from shared.runtime.faults import Fatal, Transient
from shared.runtime.group_loop import GroupLoop, GroupOptions
from shared.runtime.group_watch import GroupWatch
from shared.runtime.records import Partition

if TYPE_CHECKING:
    from shared.runtime.messaging import Messaging

__all__ = ["Batch", "GroupConsumer", "GroupOptions", "Handler"]

log = structlog.get_logger(__name__)

CLOSE_S = 4.0


class GroupConsumer:
    """A component. `handler` gets batches of at most `max_records`; their offsets are committed after it returned."""

    def __init__(
        self,
        messaging: "Messaging",
        subscription: tuple[str, Sequence[str]],
        handler: Handler,
        producer: Forwarder,
        options: GroupOptions,
    ) -> None:
        self._messaging = messaging
        self._group, self._topics = subscription
        self._options = options
        self._loop = GroupLoop(messaging, self._group, self._topics, handler, producer, options)
        self._watch = GroupWatch(self._loop.holdings, self._loop.ends, self._loop.meter, options.stall_s)
        self._watching: asyncio.Task[None] | None = None
        self._broker: KafkaBroker | None = None
        self._subscriber: BatchSubscriber | None = None

    async def start(self) -> None:
        """Join the group; returns with the first assignment. Raises Transient while Kafka is away (call again)."""
        await self._loop.ends.start()
        self._broker, self._subscriber = self._messaging.group_subscriber(
            self._group, self._topics, self._loop, self._options
        )
        try:
            await self._broker.start()
        except BaseException as error:
            await self._close()
            if isinstance(error, KafkaError):
                raise Transient(f"Kafka does not answer: {error}") from error
            raise
        self._watching = asyncio.create_task(self._watch.run())

    async def stop(self) -> None:
        """Poll no more, let the batch under way finish and commit (at most `grace_s`), tell the handler, close."""
        self._loop.stopping = True
        self._loop.runner.interrupt.set()
        if self._watching is not None:
            self._watching.cancel()
        if self._subscriber is not None:
            self._subscriber.running = False
        async with self._loop.tenancy.idle_within(self._options.grace_s) as idle:
            self._loop.holdings.release()
            if idle:
                await self._loop.tenancy.withdraw()
        await self._close()

    async def _close(self) -> None:
        broker, self._broker = self._broker, None
        subscriber, self._subscriber = self._subscriber, None
        try:
            async with asyncio.timeout(CLOSE_S):
                if broker is not None and subscriber is not None:
                    self._messaging.before_close(subscriber)
                    await broker.stop()
                await self._loop.ends.stop()
        except Exception as error:
            log.warning("not closed in order", group=self._group, error=repr(error), exc_info=error)

    @property
    def failure(self) -> Fatal | None:
        """Why it ended by itself."""
        return self._loop.failure

    def owns(self, partition: Partition) -> bool:
        """Whether we may still work on it; says no from the moment the group begins to take it away."""
        return partition in self._loop.holdings.owned

    def position(self, partition: Partition) -> int:
        """The next offset to be handled: all below it has been. Raises Fenced when the partition is not ours."""
        return self._loop.holdings.position(partition)

    async def end_offset(self, partition: Partition) -> int:
        """The offset the next record will get, asked from the broker now. Raises Transient without an answer."""
        return (await self._loop.ends.end([partition]))[partition]

    def progress(self) -> str | None:
        """None while it moves, has nothing to do or waits for an engine; else what is stuck. For liveness."""
        if self.failure is not None:
            return str(self.failure)
        began = self._loop.runner.attempt_began
        if began is not None and time.monotonic() - began > self._options.stall_s:
            return f"a batch of {self._group} is with its handler for {time.monotonic() - began:.0f} s"
        return None if self._loop.trouble() else self._watch.stalled()

    async def ready(self) -> str | None:
        """None when it has its partitions and nothing is in the way; else what is missing. For readiness."""
        return self._loop.trouble()
