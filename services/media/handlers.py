"""`media.jobs`: what is due, what messages refer to, what channels hold for us."""

from collections.abc import Mapping

import structlog

from services.media.core import Carrier, Media, used
from services.media.filenames import BadName, checked_name
from services.media.store import Change, MediaStore, Stale
from services.media.working import Worker
from shared.contracts.outbound import FetchMedia, MediaReferenced, ProcessMedia
from shared.contracts.wire import Undecodable, decode_media_job
from shared.runtime.batches import Batch
from shared.runtime.clock import Clock
from shared.runtime.faults import Poison, Transient
from shared.runtime.records import Partition, Record

log = structlog.stdlib.get_logger(__name__)

TRIES = 20


class MediaJobs:
    """Handler of the group. Each record may come again: what it asks for is done already then."""

    def __init__(self, store: MediaStore, uploads: Worker, fetches: Worker, clock: Clock) -> None:
        self._store = store
        self._uploads = uploads
        self._fetches = fetches
        self._clock = clock

    async def handle(self, batch: Batch) -> None:
        """Poison for a record that is no job."""
        for record in batch.records:
            match _read(record):
                case ProcessMedia():
                    self._uploads.wake()  # the job is in the document since before this record was sent
                case MediaReferenced() as reference:
                    await self._refer(reference)
                case FetchMedia() as wanted:
                    await self._expect(wanted)

    async def assigned(self, partitions: frozenset[Partition], committed: Mapping[Partition, int]) -> None:
        """Nothing is cached."""

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        """Nothing is cached."""

    async def _refer(self, reference: MediaReferenced) -> None:
        for _ in range(TRIES):
            media = await self._store.find(reference.workspace, reference.media_id)
            if media is None:
                log.warning("a message refers to a media that isn't here", media=reference.media_id)
                return
            after = used(media)
            if after is media:
                return
            try:
                await self._store.change(media, after, Change("system", self._clock.now()))
            except Stale:
                continue
            return
        raise Transient("a media keeps changing")

    async def _expect(self, wanted: FetchMedia) -> None:
        attachment = wanted.attachment
        media = Media(
            workspace=wanted.workspace,
            id=attachment.media_id,
            purpose="voice" if attachment.kind == "voice" else "attachment",
            state="processing",
            content_type=attachment.content_type,
            filename=_name(attachment.filename),
            size=None,
            created_by=None,
            carrier=Carrier(wanted.conversation_id, wanted.message_id),
            used=True,
        )
        await self._store.expect(media, wanted, self._clock.now())
        self._fetches.wake()


def _name(said: str | None) -> str | None:
    """A customer's file comes in under another name rather than not at all."""
    try:
        return said and checked_name(said)
    except BadName:
        return None


def _read(record: Record) -> FetchMedia | ProcessMedia | MediaReferenced:
    try:
        return decode_media_job(record.value or b"")
    except Undecodable as error:
        raise Poison("UNDECODABLE", str(error), record) from None
