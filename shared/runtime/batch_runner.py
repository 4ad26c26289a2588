"""Gets one batch through its handler: retry, hold, isolate, dead-letter.

Must not know where batches come from or how they are committed.
"""

import time
from collections.abc import Awaitable, Callable
from typing import assert_never

import structlog

from shared.runtime.backoff import Backoff, Interrupt
from shared.runtime.batches import Batch, Handler
from shared.runtime.deadletter import BUG, DeadLetters
from shared.runtime.engine_errors import is_away
from shared.runtime.faults import Fatal, Fenced, Poison
from shared.runtime.group_meter import GroupMeter
from shared.runtime.records import Record
from shared.runtime.retry_policy import RetryPolicy, Step

log = structlog.get_logger(__name__)


class BatchRunner:
    """The policy at work. One batch at a time."""

    def __init__(self, handler: Handler, policy: RetryPolicy, letters: DeadLetters, meter: GroupMeter) -> None:
        self._handler = handler
        self._policy = policy
        self._letters = letters
        self._meter = meter
        self.interrupt = Interrupt()
        self.holding: str | None = None
        """What the batch waits for between its tries; None while nothing is wrong."""
        self.attempt_began: float | None = None
        """When the handler was called (monotonic); None while it is not running."""

    async def run(self, batch: Batch) -> None:
        """Return when each record was handled or dead-lettered. Raises Fenced (read it again) or Fatal."""
        try:
            await self._run(batch)
        finally:
            self.holding = None

    async def _run(self, batch: Batch) -> None:
        backoff, bugs = self._backoff(), 0
        while batch.records:
            try:
                await self._handle(batch)
                return
            except Exception as error:
                bugs += not (isinstance(error, Poison) or is_away(error))
                step = self._policy.step(error, bugs)
                match step:
                    case Step.RAISE:
                        raise
                    case Step.HOLD | Step.RETRY:
                        await self._wait(backoff, error, batch)
                    case Step.DEAD_LETTER:
                        batch = await self._without_culprit(batch, error)
                    case Step.ISOLATE:
                        await self._one_by_one(batch, error, bugs)
                        return
                    case _:
                        assert_never(step)

    async def _handle(self, batch: Batch) -> None:
        self.attempt_began = time.monotonic()
        try:
            await self._handler.handle(batch)
        finally:
            self.attempt_began = None
        self._letters.succeeded()

    async def _without_culprit(self, batch: Batch, error: Exception) -> Batch:
        assert isinstance(error, Poison) and error.record is not None
        rest = batch.without(error.record)
        if len(rest.records) == len(batch.records):
            raise Fatal(f"the handler gave up a record that is not in its batch: {error}") from error
        await self._bury(error.record, error, attempts=1)
        return rest

    async def _one_by_one(self, batch: Batch, error: Exception, bugs: int) -> None:
        log.warning("looking for the culprit one by one", records=len(batch.records), error=repr(error), exc_info=error)
        if len(batch.records) == 1:
            await self._bury(batch.records[0], error, max(bugs, 1))
            return
        for record in batch.records:
            await self._alone(batch.only(record), bugs)

    async def _alone(self, batch: Batch, bugs: int) -> None:
        backoff = self._backoff()
        while True:
            try:
                return await self._handle(batch)
            except Exception as error:
                match self._policy.step(error, self._policy.tries):
                    case Step.RAISE:
                        raise
                    case Step.HOLD:
                        await self._wait(backoff, error, batch)
                    case _:
                        return await self._bury(batch.records[0], error, bugs + 1)

    async def _bury(self, record: Record, error: Exception, attempts: int) -> None:
        reason = error.reason if isinstance(error, Poison) else BUG
        await self._insist(lambda: self._letters.put(record, reason, error, attempts), record)
        await self._tell(record, reason)

    async def _tell(self, record: Record, reason: str) -> None:
        """A hook that is itself broken must not hold the partition for ever: after its tries we log and pass."""
        for attempt in range(1, self._policy.tries + 1):
            try:
                await self._insist(lambda: self._letters.hook(record, reason), record)
                return
            except (Fenced, Fatal):
                raise
            except Exception:
                log.exception("dead-letter hook failed", topic=record.topic, offset=record.offset, attempt=attempt)

    async def _insist(self, action: Callable[[], Awaitable[None]], record: Record) -> None:
        backoff = self._backoff()
        while True:
            try:
                return await action()
            except Exception as error:
                if not is_away(error):
                    raise
                await self._wait(backoff, error, Batch((record,), {}))

    async def _wait(self, backoff: Backoff, error: Exception, batch: Batch) -> None:
        self.holding = str(error)
        self._meter.retried(len(batch.records), error)
        if backoff.failures in (0, 9, 99):
            log.warning(
                "batch not done, trying again",
                records=len(batch.records),
                error=repr(error),
                failures=backoff.failures + 1,
            )
        await backoff.hold(error)

    def _backoff(self) -> Backoff:
        return Backoff(self._policy, self.interrupt)
