"""Jobs: an upload is read once, checked, and kept under its content's hash.

Death between two awaits: the claim runs out and another worker begins anew; what was kept meanwhile is the same object.
The outcome counts only while the job is ours, so of two owners one is in vain. The upload is deleted last: who dies
before that leaves it to the sweep.
"""

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import BinaryIO, cast

import structlog

from services.media.core import ORIGINAL, Facts, Media, kept, refused
from services.media.keeping import Keeper
from services.media.sandbox import NoVerdict, Sandbox, Verdict
from services.media.store import Change, Claimed, MediaStore, Stale
from shared.contracts.resources import Rendition
from shared.runtime.clock import Clock
from shared.runtime.engine_errors import is_away
from shared.runtime.metrics import Metrics
from shared.runtime.s3 import ObjectMissing, ObjectStore, ObjectTooLarge, fetched
from shared.runtime.tasks import ended

log = structlog.stdlib.get_logger(__name__)

CLAIM_LASTS = timedelta(seconds=30)
RENEW_EVERY_S = 10.0
LOOK_EVERY_S = 2.0
LONGEST_PAUSE_S = 60.0
MOST_FAULTS = 5
"""After so many failures for no reason outside, the file is refused: it may be what makes us fail."""

RENDITIONS = {"ogg": "audio/ogg; codecs=opus", "m4a": "audio/mp4"}


class Worker:
    """Component. `wake` it when a job came in; it looks by itself every two seconds. `at_once`: jobs at a time."""

    def __init__(
        self,
        store: MediaStore,
        checking: "Checking",
        clock: Clock,
        metrics: Metrics,
        at_once: int,
        instance: str,
    ) -> None:
        self._store = store
        self._checking = checking
        self._clock = clock
        self._metrics = metrics
        self._owner = f"{instance}-{uuid.uuid4().hex}"
        self._at_once = at_once
        self._woken = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        if not self._loops:
            self._loops = [asyncio.create_task(self._run()) for _ in range(self._at_once)]

    async def stop(self) -> None:
        """A job under way is left to others, at once where its claim can be given back."""
        await ended(self._loops)

    def wake(self) -> None:
        self._woken.set()

    def progress(self) -> str | None:
        """None while it works; for liveness."""
        return "nobody checks uploads" if any(loop.done() for loop in self._loops) else None

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
        now = self._clock.now()
        job = await self._store.claim(self._owner, now, now + CLAIM_LASTS)
        if job is None:
            return False
        self._woken.set()  # there may be more: another loop looks, too
        async with self._renewing(job.media):
            await self._tried(job)
        return True

    async def _tried(self, job: Claimed) -> None:
        try:
            await self._done(job)
        except Stale:
            log.info("a job was taken over or its media removed", media=job.media.id)
        except asyncio.CancelledError:
            await self._store.put_off(job.media, self._owner, self._clock.now())
            raise
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
        after, why = await self._checking.checked(job)
        await self._settle(job, after, why)
        await self._checking.forget(job)

    async def _settle(self, job: Claimed, after: Media, why: str) -> None:
        actor = f"agent:{job.media.created_by}" if job.media.created_by else "system"
        await self._store.change(job.media, after, Change(actor, self._clock.now(), owner=self._owner))
        self._metrics.counter("media_jobs_ended", outcome=after.code or "ready").inc()
        log.info("an upload was checked", media=after.id, state=after.state, code=after.code, why=why)

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


class Checking:
    """What is done for one upload."""

    def __init__(self, objects: ObjectStore, keeper: Keeper, sandbox: Sandbox, clock: Clock) -> None:
        self._objects = objects
        self._keeper = keeper
        self._sandbox = sandbox
        self._clock = clock

    async def checked(self, job: Claimed) -> tuple[Media, str]:
        """What became of the media, its object kept, and why, for our logs."""
        media = job.media
        with tempfile.TemporaryFile() as opened:
            file = cast(BinaryIO, opened)
            verdict, facts = await self._looked_at(job, file)
        now = self._clock.now()
        if facts is None:
            return refused(media, verdict.code or "UNREADABLE", now), verdict.detail
        return kept(media, facts, now), ""

    async def _looked_at(self, job: Claimed, file: BinaryIO) -> tuple[Verdict, Facts | None]:
        media = job.media
        assert media.size is not None and media.content_type is not None
        try:
            found = await self._objects.get_file(job.upload, media.size, file)
        except ObjectMissing:
            return Verdict("NOT_UPLOADED", "the upload is gone"), None
        except ObjectTooLarge:
            return Verdict("SIZE_MISMATCH", "larger than declared"), None
        if found.size != media.size:
            return Verdict("SIZE_MISMATCH", "smaller than declared"), None
        if media.purpose == "voice":
            return await self._as_voice(media, file)
        verdict = await self._sandbox.inspect(file, media.content_type)
        if verdict.code is not None:
            return verdict, None
        await self._keeper.keep(media.workspace, found, file, self._clock.now())
        original = Rendition(name=ORIGINAL, content_type=media.content_type, size=found.size, sha256=found.sha256)
        return verdict, Facts((original,), media.content_type, found.size, verdict.duration_s)

    async def _as_voice(self, media: Media, file: BinaryIO) -> tuple[Verdict, Facts | None]:
        """Its renditions are kept, not what was recorded."""
        with tempfile.TemporaryFile() as ogg, tempfile.TemporaryFile() as m4a:
            files = {"ogg": cast(BinaryIO, ogg), "m4a": cast(BinaryIO, m4a)}
            assert media.content_type is not None
            verdict = await self._sandbox.inspect(file, media.content_type, list(files.values()))
            if verdict.code is not None or verdict.waveform is None:
                return replace(verdict, code=verdict.code or "UNREADABLE"), None
            made = [await self._made(media, name, made) for name, made in files.items()]
        facts = Facts(tuple(made), made[0].content_type, made[0].size, verdict.duration_s, verdict.waveform)
        return verdict, facts

    async def _made(self, media: Media, name: str, file: BinaryIO) -> Rendition:
        found = await asyncio.to_thread(fetched, file)
        await self._keeper.keep(media.workspace, found, file, self._clock.now())
        return Rendition.model_validate(
            {"name": name, "content_type": RENDITIONS[name], "size": found.size, "sha256": found.sha256}
        )

    async def forget(self, job: Claimed) -> None:
        """The upload is of no use any more. Where it stays, the sweep comes for it."""
        try:
            await self._objects.delete(job.upload)
        except Exception as error:
            if not is_away(error):
                raise
            log.info("an upload is left to the sweep", reason=type(error).__name__)
