"""`media.jobs`: what is due, what messages refer to, what channels hold for us, what is to be forgotten."""

from collections.abc import Mapping

import structlog

from services.media.core import Carrier, Media, Moment, moment_of, used
from services.media.erasing import Erasing
from services.media.filenames import BadName, checked_name
from services.media.store import Change, MediaStore, insisted
from services.media.working import Worker
from shared.contracts.outbound import EraseConversation, FetchMedia, MediaJob, MediaReferenced, ProcessMedia
from shared.contracts.wire import Undecodable, decode_media_job
from shared.runtime.batches import Batch
from shared.runtime.clock import Clock
from shared.runtime.faults import Poison
from shared.runtime.records import Partition, Record

log = structlog.stdlib.get_logger(__name__)


class MediaJobs:
    """Handler of the group. Each record may come again: what it asks for is done already then."""

    def __init__(self, store: MediaStore, uploads: Worker, fetches: Worker, erasing: Erasing, clock: Clock) -> None:
        self._store = store
        self._uploads = uploads
        self._fetches = fetches
        self._erasing = erasing
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
                case EraseConversation() as order:
                    await self._erasing.erase(order.workspace, Moment(order.conversation_id, order.up_to_seq))

    async def assigned(self, partitions: frozenset[Partition], committed: Mapping[Partition, int]) -> None:
        """Nothing is cached."""

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        """Nothing is cached."""

    async def _refer(self, reference: MediaReferenced) -> None:
        await insisted(lambda: self._use(reference))
        await self._erasing.heed(reference.workspace, reference.media_id, reference.conversation_id)

    async def _use(self, reference: MediaReferenced) -> None:
        media = await self._store.find(reference.workspace, reference.media_id)
        if media is None:
            log.warning("a message refers to a media that isn't here", media=reference.media_id)
            return
        after = used(media, moment_of(reference.message_id))
        if after is not media:
            await self._store.change(media, after, Change("system", self._clock.now()))

    async def _expect(self, wanted: FetchMedia) -> None:
        attachment, carrier = wanted.attachment, Carrier(wanted.conversation_id, wanted.message_id)
        if await self._erasing.is_over(wanted.workspace, carrier.moment):
            log.info("a file of an erased conversation is not fetched", media=attachment.media_id)
            return
        media = Media(
            workspace=wanted.workspace,
            id=attachment.media_id,
            purpose="voice" if attachment.kind == "voice" else "attachment",
            state="processing",
            content_type=attachment.content_type,
            filename=_name(attachment.filename),
            size=None,
            created_by=None,
            carrier=carrier,
            used=True,
        )
        await self._store.expect(media, wanted, self._clock.now())
        await self._erasing.heed(wanted.workspace, media.id, wanted.conversation_id)
        self._fetches.wake()


def _name(said: str | None) -> str | None:
    """A customer's file comes in under another name rather than not at all."""
    try:
        return said and checked_name(said)
    except BadName:
        return None


def _read(record: Record) -> MediaJob:
    try:
        return decode_media_job(record.value or b"")
    except Undecodable as error:
        raise Poison("UNDECODABLE", str(error), record) from None
