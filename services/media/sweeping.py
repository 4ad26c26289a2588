"""What time does: uploads that nobody completed end, what was refused is forgotten, what nobody refers to is deleted.

All of it is repeatable, and any number of replicas may do it at once.
"""

from services.media.core import UPLOAD_LASTS, Media, looked_at
from services.media.erasing import Erasing
from services.media.keeping import Keeper
from services.media.store import QUEUES, Change, MediaStore, Stale
from services.media.uploading import INCOMING
from shared.contracts.ids import object_key
from shared.runtime.clock import Clock
from shared.runtime.metrics import Metrics
from shared.runtime.regularly import Regularly
from shared.runtime.s3 import ObjectInfo, ObjectStore

EVERY_S = 60.0
AT_ONCE = 200
WORKSPACES_SHOWN = 1_000
INCOMING_LASTS = 2 * UPLOAD_LASTS
"""A signed URL can be used again until it expires: what comes after its upload was read lies here so long."""


class Sweeper(Regularly):
    """Sweeps every minute."""

    def __init__(
        self,
        store: MediaStore,
        objects: ObjectStore,
        keeper: Keeper,
        erasing: Erasing,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        super().__init__(self.sweep, EVERY_S, "the sweep of media")
        self._store = store
        self._objects = objects
        self._keeper = keeper
        self._erasing = erasing
        self._clock = clock
        self._metrics = metrics

    async def sweep(self) -> None:
        await self._uploads()
        self._count("object", await self._keeper.sweep(self._clock.now()))
        await self._media()
        await self._measure()

    async def _media(self) -> None:
        now = self._clock.now()
        while ripe := await self._store.ripe(now, AT_ONCE):
            for media in ripe:
                await self._look_at(media)

    async def _look_at(self, media: Media) -> None:
        """What its maker had to look for, and may have died before: an erasure of the conversation."""
        if media.begun is not None:
            await self._erasing.heed(media.workspace, media.id, media.begun.conversation_id)
        now = self._clock.now()
        after = looked_at(media, now)
        if after.gone:
            await self._keeper.let_go([object_key(media.workspace, one.sha256) for one in media.renditions], now)
        try:
            await self._store.change(media, after, Change("system", now))
        except Stale:  # somebody was quicker; it is looked at again if it still is ripe
            return
        self._count("media", after.gone)

    async def _uploads(self) -> None:
        after = ""
        while found := await self._objects.list(INCOMING, after):
            after = found[-1].key
            old = [one.key for one in found if self._is_old(one)]
            for key in sorted(set(old) - await self._store.awaited(old)):
                await self._objects.delete(key)
                self._count("upload", 1)

    async def _measure(self) -> None:
        for workspace, size in (await self._store.largest(WORKSPACES_SHOWN)).items():
            self._metrics.gauge("media_stored_bytes", workspace=workspace).set(size)
        for queue in QUEUES:
            self._metrics.gauge("media_jobs_waiting", queue=queue).set(await self._store.waiting(queue))

    def _is_old(self, upload: ObjectInfo) -> bool:
        return upload.modified_at is not None and upload.modified_at < self._clock.now() - INCOMING_LASTS

    def _count(self, what: str, number: int) -> None:
        if number:
            self._metrics.counter("media_swept", what=what).inc(number)
