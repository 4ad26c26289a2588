"""Gives lanes their turns, each in a task of its own, within the limits. Knows nothing of what a turn does."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from services.dispatch.lanes import Lane, Lanes, Turn
from shared.runtime.clock import Clock
from shared.runtime.engine_errors import is_away
from shared.runtime.tasks import ended

log = structlog.stdlib.get_logger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LOOK_AGAIN_S = 1.0


class Work(Protocol):
    async def turn(self, lane: Lane, hurried: bool) -> datetime | None:
        """Do one step for the lane's head. Answers when the lane wants its next turn (perhaps now); None: it is empty.

        May raise: then the lane has another turn after a pause.
        """


class Runner:
    """Component. `wake` it when lanes came in. `stop` waits `grace_s` for the turns under way, then cancels them."""

    def __init__(self, lanes: Lanes, work: Work, clock: Clock, grace_s: float = 6.0) -> None:
        self._lanes = lanes
        self._work = work
        self._clock = clock
        self._grace_s = grace_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        await ended([self._loop])
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._grace_s)
        await ended(self._tasks)

    def wake(self) -> None:
        self._woken.set()

    def progress(self) -> str | None:
        """None while it gives turns; for liveness."""
        return "the lanes get no turns" if self._loop is not None and self._loop.done() else None

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            while (turn := self._lanes.take(self._clock.now())) is not None:
                task = asyncio.create_task(self._give(turn))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._woken.wait()

    def _pause_s(self) -> float:
        """Until the next lane's time, but no longer than a moment: the wall clock may jump."""
        at = self._lanes.next_at()
        if at is None:
            return LOOK_AGAIN_S
        return min(LOOK_AGAIN_S, max(0.0, (at - self._clock.now()).total_seconds()))

    async def _give(self, turn: Turn) -> None:
        lane = turn.lane
        at: datetime | None = self._clock.now() + timedelta(seconds=LONGEST_PAUSE_S)
        try:
            at = await self._work.turn(lane, turn.hurried)
            lane.failures = 0
        except Exception as error:  # noqa: BLE001 - a lane is never lost, whatever went wrong in its turn
            at = self._after(lane, error)
        finally:
            self._lanes.give_back(lane, at, self._clock.now())
            self._woken.set()

    def _after(self, lane: Lane, error: Exception) -> datetime:
        lane.failures += 1
        if is_away(error):
            log.warning("a lane waits for an engine", lane=lane.key, reason=repr(error), failures=lane.failures)
        else:
            log.error("a lane's turn failed", lane=lane.key, failures=lane.failures, exc_info=error)
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(lane.failures - 1, 10))
        return self._clock.now() + timedelta(seconds=pause)
