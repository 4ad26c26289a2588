"""Pictures are decoded whole: what can't be is damaged, or something else."""

import struct
from typing import BinaryIO

import av

from services.media.inspecting import thumbnails
from services.media.inspecting.refusal import Refusal
from shared.contracts.media_types import MediaType

MAX_PIXELS = 50_000_000
MAX_FRAMES = 1_000
"""Of an animation; what comes after them isn't looked at."""


def check(file: BinaryIO, known: MediaType, thumb: BinaryIO | None = None) -> None:
    """Refusal UNREADABLE or TOO_COMPLEX. A small one of its first frame goes to `thumb`."""
    if _pixels_of_png(file) > MAX_PIXELS:  # FFmpeg says nothing of the size of one that it finds too large itself
        raise Refusal("TOO_COMPLEX", f"more than {MAX_PIXELS} pixels")
    try:
        with av.open(file, "r", format=known.demuxers[0]) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            if context.width * context.height > MAX_PIXELS:
                raise Refusal("TOO_COMPLEX", f"more than {MAX_PIXELS} pixels")
            context.thread_count = 1
            context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
            frames = 0
            for frame in container.decode(stream):
                if frames == 0 and thumb is not None:
                    thumbnails.write(frame, thumb)
                frames += 1
                if frames == MAX_FRAMES:
                    break
    except MemoryError:
        raise Refusal("TOO_COMPLEX", "more memory than allowed") from None
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise Refusal("UNREADABLE", type(error).__name__) from None
    if not frames:
        raise Refusal("UNREADABLE", "no picture in it")


def _pixels_of_png(file: BinaryIO) -> int:
    """As its header says; 0 for anything else."""
    file.seek(0)
    head = file.read(24)
    file.seek(0)
    if len(head) < 24 or head[12:16] != b"IHDR":
        return 0
    width, height = struct.unpack("!II", head[16:24])
    return int(width * height)
