"""Sound and films are opened as what they were declared to be, never as what FFmpeg takes them for."""

from typing import BinaryIO

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from services.media.inspecting.refusal import Refusal
from shared.contracts.media_types import MediaType

MAX_PIXELS = 4096 * 2304
TRIED_FRAMES = 25


def check(file: BinaryIO, known: MediaType) -> float | None:
    """Its duration in seconds, as far as the header says it. Refusal UNREADABLE, TYPE_MISMATCH or TOO_COMPLEX.

    The beginning is decoded, of each stream that counts.
    """
    try:
        with av.open(file, "r", format=known.demuxers[0]) as container:
            if known.kind == "video" and not container.streams.video:
                raise Refusal("TYPE_MISMATCH", "no picture in it")
            if known.kind == "audio" and not container.streams.audio:
                raise Refusal("TYPE_MISMATCH", "no sound in it")
            stream: VideoStream | AudioStream = (container.streams.video or container.streams.audio)[0]
            if isinstance(stream, VideoStream) and stream.width * stream.height > MAX_PIXELS:
                raise Refusal("TOO_COMPLEX", f"more than {MAX_PIXELS} pixels")
            if known.kind == "audio":  # a cover picture may be there, too
                stream = container.streams.audio[0]
            stream.codec_context.thread_count = 1
            frames = 0
            for _ in container.decode(stream):
                frames += 1
                if frames == TRIED_FRAMES:
                    break
            duration = container.duration
    except MemoryError:
        raise Refusal("TOO_COMPLEX", "more memory than allowed") from None
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise Refusal("UNREADABLE", type(error).__name__) from None
    if not frames:
        raise Refusal("UNREADABLE", "nothing in it can be decoded")
    return duration / av.time_base if duration and duration > 0 else None
