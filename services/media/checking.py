"""A file that is here is looked at in a process of its own and kept under its content's hash, with its renditions."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import BinaryIO

import structlog

from services.media.core import ORIGINAL, Facts, Media, kept, refused
from services.media.keeping import Keeper
from services.media.sandbox import Sandbox, Verdict
from services.media.scratch import scratch
from services.media.store import Claimed
from shared.contracts.media_types import MEDIA_TYPES, RENDITION_TYPES, max_bytes
from shared.contracts.resources import Rendition
from shared.runtime.clock import Clock
from shared.runtime.engine_errors import is_away
from shared.runtime.s3 import Fetched, ObjectMissing, ObjectStore, ObjectTooLarge, fetched

log = structlog.stdlib.get_logger(__name__)

OF_A_RECORDING, OF_A_PICTURE = ("ogg", "m4a"), ("thumb",)
_ANOTHER_TYPE = frozenset({"TYPE_MISMATCH", "UNREADABLE"})


class Checking:
    def __init__(self, keeper: Keeper, sandbox: Sandbox, clock: Clock) -> None:
        self._keeper = keeper
        self._sandbox = sandbox
        self._clock = clock

    async def checked(self, media: Media, file: BinaryIO, content: Fetched, types: Sequence[str]) -> tuple[Media, str]:
        """What became of the media, and why, for our logs: kept as the first of `types` that the file is."""
        refusals = []
        for content_type in types:
            verdict, facts = await self._looked_at(media, file, content, content_type)
            if facts is not None:
                return kept(media, facts, self._clock.now()), verdict.detail
            refusals.append(verdict)
            if verdict.code not in _ANOTHER_TYPE:
                break
        return self.refused(media, refusals[0] if refusals else Verdict("TYPE_NOT_ALLOWED", "no type that is kept"))

    def refused(self, media: Media, verdict: Verdict) -> tuple[Media, str]:
        return refused(media, verdict.code or "UNREADABLE", self._clock.now()), verdict.detail

    async def _looked_at(
        self, media: Media, file: BinaryIO, content: Fetched, content_type: str
    ) -> tuple[Verdict, Facts | None]:
        known = MEDIA_TYPES[content_type]
        if content.size > max_bytes(media.purpose, known):
            return Verdict("FILE_TOO_LARGE", f"{content.size} bytes"), None
        if media.purpose == "voice":
            return await self._as_voice(media, file, content, content_type)
        return await self._as_it_is(media, file, content, content_type)

    async def _as_it_is(
        self, media: Media, file: BinaryIO, content: Fetched, content_type: str
    ) -> tuple[Verdict, Facts | None]:
        names = OF_A_PICTURE if MEDIA_TYPES[content_type].family == "picture" else ()
        with ExitStack() as stack:
            files = _files(stack, names)
            verdict = await self._sandbox.inspect(file, content_type, files)
            if verdict.code is not None:
                return verdict, None
            made = await self._made(media, files)
        original = await self._original(media, file, content, content_type)
        return verdict, Facts((original, *made), content_type, content.size, verdict.duration_s)

    async def _as_voice(
        self, media: Media, file: BinaryIO, content: Fetched, content_type: str
    ) -> tuple[Verdict, Facts | None]:
        """Of a member's recording its renditions are kept and what was recorded is not; a customer's is kept, too, and
        where it is longer than any of ours it is kept as it is."""
        with ExitStack() as stack:
            files = _files(stack, OF_A_RECORDING)
            verdict = await self._sandbox.inspect(file, content_type, files)
            if verdict.code == "TOO_LONG" and media.carrier is not None:
                return await self._as_it_is(media, file, content, content_type)
            if verdict.code is not None or verdict.waveform is None:
                return replace(verdict, code=verdict.code or "UNREADABLE"), None
            made = await self._made(media, files)
        if media.carrier is not None:
            made.append(await self._original(media, file, content, content_type))
        return verdict, Facts(tuple(made), made[0].content_type, made[0].size, verdict.duration_s, verdict.waveform)

    async def _original(self, media: Media, file: BinaryIO, content: Fetched, content_type: str) -> Rendition:
        await self._keeper.keep(media.workspace, content, file, self._clock.now())
        return Rendition(name=ORIGINAL, content_type=content_type, size=content.size, sha256=content.sha256)

    async def _made(self, media: Media, files: Mapping[str, BinaryIO]) -> list[Rendition]:
        """Those that the process wrote."""
        made = []
        for name, file in files.items():
            content = await asyncio.to_thread(fetched, file)
            if content.size:
                await self._keeper.keep(media.workspace, content, file, self._clock.now())
                as_said = {"name": name, "content_type": RENDITION_TYPES[name], "size": content.size}
                made.append(Rendition.model_validate(as_said | {"sha256": content.sha256}))
        return made


class Uploads:
    """Work of the queue: an upload is read once, into a temporary file. It is deleted last: who dies before that leaves
    it to the sweep."""

    def __init__(self, objects: ObjectStore, checking: Checking) -> None:
        self._objects = objects
        self._checking = checking

    async def done(self, job: Claimed) -> tuple[Media, str]:
        media = job.media
        assert job.upload is not None and media.size is not None and media.content_type is not None
        with scratch(media.size) as file:
            try:
                content = await self._objects.get_file(job.upload, media.size, file)
            except ObjectMissing:
                return self._checking.refused(media, Verdict("NOT_UPLOADED", "the upload is gone"))
            except ObjectTooLarge:
                return self._checking.refused(media, Verdict("SIZE_MISMATCH", "larger than declared"))
            if content.size != media.size:
                return self._checking.refused(media, Verdict("SIZE_MISMATCH", "smaller than declared"))
            return await self._checking.checked(media, file, content, [media.content_type])

    async def forget(self, job: Claimed) -> None:
        """Where it stays, the sweep comes for it."""
        assert job.upload is not None
        try:
            await self._objects.delete(job.upload)
        except Exception as error:
            if not is_away(error):
                raise
            log.info("an upload is left to the sweep", reason=type(error).__name__)


def _files(stack: ExitStack, names: Sequence[str]) -> dict[str, BinaryIO]:
    return {name: stack.enter_context(scratch()) for name in names}
