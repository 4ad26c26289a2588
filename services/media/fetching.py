"""What channels hold for us is fetched: tried again for a day, then given up with a reason.

Death between two awaits: as for any job; it is fetched again.
"""

import asyncio
import random
import tempfile
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from services.media.checking import Checking
from services.media.core import Media
from services.media.sandbox import Verdict
from services.media.store import Claimed
from services.media.working import Later
from shared.contracts.inbound import InboundAttachment
from shared.contracts.media_types import MAX_RECORDING, MIB, MediaType, by_extension, media_type_of
from shared.contracts.outbound import FetchMedia
from shared.contracts.retry_after import wait_s
from shared.contracts.times import from_timestamp
from shared.runtime.clock import Clock
from shared.runtime.outbound_download import Downloaded, DownloadFailed, DownloadRefused, Downloads
from shared.runtime.retry_policy import RetryPolicy

TRIED_FOR = timedelta(hours=24)
PAUSES = RetryPolicy(first_delay_s=1.0, longest_delay_s=900.0)
LONGEST_WISH_S = 3600.0
"""Of a `Retry-After`."""
MOST_BYTES = {"image": 20 * MIB, "voice": MAX_RECORDING}
MOST_BYTES_ELSE = 100 * MIB

_AS_RECORDING = {"video/mp4": "audio/mp4", "video/webm": "audio/webm", "video/3gpp": "audio/mp4"}
"""Containers of films, in which telephones also record sound alone."""


class Fetches:
    """Work of the queue. `checked_at_once`: files in checking processes; more are fetched meanwhile."""

    def __init__(self, downloads: Downloads, checking: Checking, clock: Clock, checked_at_once: int) -> None:
        self._downloads = downloads
        self._checking = checking
        self._clock = clock
        self._room = asyncio.Semaphore(checked_at_once)

    async def done(self, job: Claimed) -> tuple[Media, str]:
        assert job.fetch is not None
        wanted = job.fetch.attachment
        with tempfile.TemporaryFile() as opened:
            file = cast(BinaryIO, opened)
            limit = MOST_BYTES.get(wanted.kind, MOST_BYTES_ELSE)
            try:
                found = await self._downloads.get(wanted.url, limit, file)
            except DownloadRefused as refusal:
                return self._checking.refused(job.media, Verdict(refusal.code, str(refusal)))
            except DownloadFailed as failure:
                return self._failed(job, job.fetch, failure)
            if not found.content.size:
                return self._checking.refused(job.media, Verdict("UNREADABLE", "empty"))
            async with self._room:
                return await self._checking.checked(job.media, file, found.content, types(wanted, found))

    def _failed(self, job: Claimed, fetch: FetchMedia, failure: DownloadFailed) -> tuple[Media, str]:
        """Later, until the day is over; the last try is at its end."""
        now = self._clock.now()
        ends = from_timestamp(fetch.requested_at) + TRIED_FOR
        if now >= ends:
            return self._checking.refused(job.media, Verdict("FETCH_EXPIRED", str(failure)))
        raise Later(str(failure), min(now + _pause(job.tries, failure, now), ends))

    async def forget(self, job: Claimed) -> None:
        """Nothing of ours is left."""


def types(wanted: InboundAttachment, found: Downloaded) -> list[str]:
    """What the file may be, likeliest first: as the channel declared it, as its server says, as its name ends.

    A page of HTML is only believed from whoever declares one: servers answer with pages where a file is missing.
    """
    declared = media_type_of(wanted.content_type or "")
    ending = PurePosixPath(wanted.filename or found.path).suffix
    others = [media_type_of(found.content_type or ""), by_extension(ending)]
    known = [declared, *(one for one in others if one and not one.active)]
    names = [name for one in known if one and (name := _named(wanted.kind, one))]
    return list(dict.fromkeys(names))


def _named(kind: str, known: MediaType) -> str | None:
    """None for what cannot be a voice message."""
    if kind != "voice" or known.kind == "audio":
        return known.name
    return _AS_RECORDING.get(known.name)


def _pause(tries: int, failure: DownloadFailed, now: datetime) -> timedelta:
    wish = wait_s(failure.retry_after, now) or 0.0
    return timedelta(seconds=max(PAUSES.delay_s(tries, random.random()), min(wish, LONGEST_WISH_S)))
