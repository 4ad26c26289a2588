"""Waiting between tries so that it can be cut short."""

import asyncio
import random
import time

from shared.runtime.faults import Fenced
from shared.runtime.retry_policy import RetryPolicy


class Interrupt:
    """Ends a back-off early: partitions are being taken away, or the process stops."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        self._event.clear()

    async def sleep(self, seconds: float) -> bool:
        """Whether it was cut short."""
        try:
            async with asyncio.timeout(seconds):
                return await self._event.wait()
        except TimeoutError:
            return False


class Backoff:
    """The waits of one trouble, longer each time."""

    def __init__(self, policy: RetryPolicy, interrupt: Interrupt) -> None:
        self._policy = policy
        self._interrupt = interrupt
        self._since = time.monotonic()
        self.failures = 0

    async def wait(self) -> bool:
        """Whether it was cut short."""
        self.failures += 1
        return await self._interrupt.sleep(self._policy.delay_s(self.failures, random.random()))

    async def hold(self, error: Exception) -> None:
        """As `wait`, for a batch that is kept meanwhile: Fenced when cut short or held longer than `hold_s`."""
        if time.monotonic() - self._since > self._policy.hold_s:
            raise Fenced(f"held for {self._policy.hold_s:g} s: {error}") from error
        if await self.wait():
            raise Fenced("interrupted while backing off")
