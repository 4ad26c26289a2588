"""Sound and films are opened as what they were declared to be, never as what FFmpeg takes them for."""

import itertools
from typing import BinaryIO

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from services.media.inspecting.refusal import Refusal
from shared.contracts.media_types import MediaType

MAX_PIXELS = 4096 * 2304
MAX_S = 4 * 3600
TRIED_FRAMES = 25


def check(file: BinaryIO, known: MediaType) -> float | None:
    """Its seconds, as far as the header says them. Refusal UNREADABLE, TYPE_MISMATCH, TOO_COMPLEX or TOO_LONG.

    The beginning is decoded, of the stream that counts.
    """
    try:
        with av.open(file, "r", format=known.demuxers[0]) as container:
            stream = _stream(container, known)
            stream.codec_context.thread_count = 1
            frames = sum(1 for _ in itertools.islice(container.decode(stream), TRIED_FRAMES))
            duration = (container.duration or 0) / av.time_base
    except MemoryError:
        raise Refusal("TOO_COMPLEX", "more memory than allowed") from None
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise Refusal("UNREADABLE", type(error).__name__) from None
    if not frames:
        raise Refusal("UNREADABLE", "nothing in it can be decoded")
    if duration > MAX_S:
        raise Refusal("TOO_LONG", f"more than {MAX_S} s")
    return duration if duration > 0 else None


def _stream(container: InputContainer, known: MediaType) -> VideoStream | AudioStream:
    """Of sound the sound: a cover picture may be there, too."""
    if known.kind == "audio":
        if not container.streams.audio:
            raise Refusal("TYPE_MISMATCH", "no sound in it")
        return container.streams.audio[0]
    if not container.streams.video:
        raise Refusal("TYPE_MISMATCH", "no picture in it")
    film = container.streams.video[0]
    if film.width * film.height > MAX_PIXELS:
        raise Refusal("TOO_COMPLEX", f"more than {MAX_PIXELS} pixels")
    return film
