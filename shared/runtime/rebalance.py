"""What the group's coordinator says, and how the handler hears of it. Polling and offsets are elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.structs import TopicPartition

from shared.runtime.backoff import Interrupt
from shared.runtime.batches import Handler
from shared.runtime.faults import Fatal
from shared.runtime.holdings import Holdings
from shared.runtime.records import Partition

if TYPE_CHECKING:
    from shared.runtime.messaging import Messaging

log = structlog.get_logger(__name__)


class Tenancy:
    """Tells the handler what it has and what it lost, never while it handles a batch."""

    def __init__(self, handler: Handler, die: Callable[[Fatal], None]) -> None:
        self._handler = handler
        self._die = die
        self._announced: frozenset[Partition] = frozenset()
        self.busy = asyncio.Lock()

    @asynccontextmanager
    async def idle_within(self, seconds: float) -> AsyncIterator[bool]:
        """Hold `busy`, or say False when the batch under way takes longer than that."""
        try:
            async with asyncio.timeout(seconds):
                await self.busy.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self.busy.release()

    async def announce(self, partitions: frozenset[Partition], committed: Mapping[Partition, int]) -> None:
        """Call with `busy` held. What the handler raises passes through; `withdraw` undoes it also then."""
        self._announced = partitions
        await self._handler.assigned(partitions, committed)

    async def withdraw(self) -> None:
        """Call with `busy` held. Says what is not ours any more, once."""
        lost, self._announced = self._announced, frozenset()
        if not lost:
            return
        try:
            await self._handler.revoked(lost)
        except Exception as error:
            log.exception("the handler failed when partitions were taken")
            self._die(Fatal(f"the handler failed when partitions were taken: {error!r}"))


class Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]
    """The client's callbacks. They only note what is said: a wait for Kafka in here would block the client's
    coordinator, and its stop with it; the poll loop does the work."""

    def __init__(
        self, messaging: "Messaging", holdings: Holdings, tenancy: Tenancy, interrupt: Interrupt, revoke_wait_s: float
    ) -> None:
        self._messaging = messaging
        self._holdings = holdings
        self._tenancy = tenancy
        self._interrupt = interrupt
        self._revoke_wait_s = revoke_wait_s
        self.assigned: frozenset[Partition] | None = None
        """The latest assignment; None while there is none. Another object each time."""

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.assigned = None
        lost = self._holdings.release()
        if not lost:
            return
        self._interrupt.set()
        log.info("partitions are being taken", partitions=len(lost))
        async with self._tenancy.idle_within(self._revoke_wait_s) as idle:
            if idle:
                await self._tenancy.withdraw()
            else:
                log.warning("a batch outlasts the rebalance: its commit will be refused", waited_s=self._revoke_wait_s)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.assigned = frozenset(self._messaging.registered(at) for at in assigned)
