"""Jobs and their claims: whose turn it is, what comes of it, and when it is tried again.

Death between two awaits: the claim runs out and another worker begins anew; what was kept meanwhile is the same object.
The outcome counts only while the job is ours, so of two owners one is in vain.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from services.media.core import Media, refused
from services.media.sandbox import NoVerdict
from services.media.store import Change, Claim, Claimed, MediaStore, Queue, Stale
from shared.runtime.clock import Clock
from shared.runtime.engine_errors import is_away
from shared.runtime.metrics import Metrics
from shared.runtime.tasks import ended

log = structlog.stdlib.get_logger(__name__)

CLAIM_LASTS = timedelta(seconds=30)
RENEW_EVERY_S = 10.0
LOOK_EVERY_S = 2.0
LONGEST_PAUSE_S = 60.0
MOST_FAULTS = 5
"""After so many failures for no reason outside, the file is refused: it may be what makes us fail."""


class Later(Exception):
    """Nothing came of the job, for reasons outside: it is due again at `due_at`."""

    def __init__(self, why: str, due_at: datetime) -> None:
        super().__init__(why)
        self.due_at = due_at


class Work(Protocol):
    """What is done for a job of one queue."""

    async def done(self, job: Claimed) -> tuple[Media, str]:
        """What became of the media, its objects kept, and why, for our logs. Later."""

    async def forget(self, job: Claimed) -> None:
        """It has ended: what is of no use any more may go."""


@dataclass(frozen=True, slots=True)
class Crew:
    """`at_once`: jobs at a time in a process, and of those at most `share` of one workspace."""

    instance: str
    at_once: int
    share: int


class Worker:
    """Component. `wake` it when a job came in; it looks by itself every two seconds."""

    def __init__(self, queue: Queue, store: MediaStore, task: Work, clock: Clock, metrics: Metrics, crew: Crew) -> None:
        self._queue: Queue = queue
        self._store = store
        self._task = task
        self._clock = clock
        self._metrics = metrics
        self._crew = crew
        self._owner = f"{crew.instance}-{uuid.uuid4().hex}"
        self._under_way: Counter[str] = Counter()
        self._claiming = asyncio.Lock()
        self._woken = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        if not self._loops:
            self._loops = [asyncio.create_task(self._run()) for _ in range(self._crew.at_once)]

    async def stop(self) -> None:
        """A job under way is left to others, at once where its claim can be given back."""
        await ended(self._loops)

    def wake(self) -> None:
        self._woken.set()

    def progress(self) -> str | None:
        """None while it works; for liveness."""
        return f"nobody works on {self._queue}" if any(loop.done() for loop in self._loops) else None

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                while await self.work():
                    """Until nothing is due."""
            except Exception as error:
                if not is_away(error):
                    log.exception("looking for jobs failed")
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def work(self) -> bool:
        """One job; whether there was one."""
        async with self._claiming:  # one at a time, so that none is claimed beyond a workspace's share
            job = await self._claimed()
            if job is None:
                return False
            self._under_way[job.media.workspace] += 1
        self._woken.set()  # there may be more: another loop looks, too
        try:
            async with self._renewing(job.media):
                await self._tried(job)
        finally:
            self._under_way -= Counter([job.media.workspace])  # forgets those without any
        return True

    async def _claimed(self) -> Claimed | None:
        """Whoever is stopped meanwhile gives back what he may just have got."""
        now = self._clock.now()
        full = [workspace for workspace, count in self._under_way.items() if count >= self._crew.share]
        claim = Claim(self._owner, now, now + CLAIM_LASTS)
        claiming = asyncio.ensure_future(self._store.claim(self._queue, claim, full))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            job = await claiming
            if job is not None:
                await self._store.put_off(job.media, self._owner, now)
            raise

    async def _tried(self, job: Claimed) -> None:
        try:
            await self._done(job)
        except Stale:
            log.info("a job was taken over or its media removed", media=job.media.id)
        except asyncio.CancelledError:
            await self._store.put_off(job.media, self._owner, self._clock.now())
            raise
        except Later as later:
            log.info("a job is put off", media=job.media.id, tries=job.tries, why=str(later))
            self._metrics.counter("media_jobs_put_off", queue=self._queue).inc()
            await self._store.put_off(job.media, self._owner, later.due_at)
        except Exception as error:  # noqa: BLE001 - a job is never lost, whatever went wrong in it
            await self._failed(job, error)

    async def _failed(self, job: Claimed, error: Exception) -> None:
        """An engine that is away refuses no file, however long."""
        away = is_away(error)
        if not away:
            log.error("a job failed", media=job.media.id, faults=job.faults + 1, exc_info=error)
        if not away and job.faults + 1 >= MOST_FAULTS:
            code = error.code if isinstance(error, NoVerdict) else "UNREADABLE"
            await self._settle(job, refused(job.media, code, self._clock.now()), "it cannot be checked")
            return
        pause = timedelta(seconds=min(LONGEST_PAUSE_S, 0.5 * 2.0 ** min(job.tries, 10)))
        await self._store.put_off(job.media, self._owner, self._clock.now() + pause, fault=not away)

    async def _done(self, job: Claimed) -> None:
        after, why = await self._task.done(job)
        await self._settle(job, after, why)
        await self._task.forget(job)

    async def _settle(self, job: Claimed, after: Media, why: str) -> None:
        actor = f"agent:{job.media.created_by}" if job.media.created_by else "system"
        await self._store.change(job.media, after, Change(actor, self._clock.now(), owner=self._owner))
        self._metrics.counter("media_jobs_ended", queue=self._queue, outcome=after.code or "ready").inc()
        log.info("a file was checked", media=after.id, state=after.state, code=after.code, why=why)

    @asynccontextmanager
    async def _renewing(self, media: Media) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(RENEW_EVERY_S)
                try:
                    await self._store.renew(media, self._owner, self._clock.now() + CLAIM_LASTS)
                except Exception as error:
                    if not is_away(error):
                        raise

        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            await ended([task])
