"""Pictures are decoded whole: what can't be is damaged, or something else."""

import itertools
import struct
from collections.abc import Iterator
from typing import BinaryIO

import av
from av.video.frame import VideoFrame

from services.media.inspecting import animated_webp, thumbnails
from services.media.inspecting.refusal import Refusal
from shared.contracts.media_types import MediaType

MAX_PIXELS = 50_000_000
MAX_FRAMES = 1_000
"""Of an animation; what comes after them isn't looked at."""
OPTIONS = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
"""Of each decoder."""


def check(file: BinaryIO, known: MediaType, thumb: BinaryIO | None = None) -> None:
    """Refusal UNREADABLE or TOO_COMPLEX. A small one of its first frame goes to `thumb`."""
    try:
        count = _looked_at(_frames(file, known), thumb)
    except MemoryError:
        raise Refusal("TOO_COMPLEX", "more memory than allowed") from None
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise Refusal("UNREADABLE", type(error).__name__) from None
    if not count:
        raise Refusal("UNREADABLE", "no picture in it")


def _looked_at(frames: Iterator[VideoFrame], thumb: BinaryIO | None) -> int:
    """How many they were."""
    count = 0
    for frame in itertools.islice(frames, MAX_FRAMES):
        if count == 0 and thumb is not None:
            thumbnails.write(frame, thumb)
        count += 1
    return count


def _frames(file: BinaryIO, known: MediaType) -> Iterator[VideoFrame]:
    canvas = animated_webp.canvas_of(file) if known.name == "image/webp" else None
    if canvas is None:
        return _decoded(file, known)
    _check_size(canvas.width * canvas.height)
    return animated_webp.frames(file, canvas, OPTIONS)


def _decoded(file: BinaryIO, known: MediaType) -> Iterator[VideoFrame]:
    _check_size(_pixels_of_png(file))  # FFmpeg says nothing of the size of one that it finds too large itself
    with av.open(file, "r", format=known.demuxers[0]) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        _check_size(context.width * context.height)
        context.thread_count = 1
        context.options = OPTIONS
        yield from container.decode(stream)


def _check_size(pixels: int) -> None:
    if pixels > MAX_PIXELS:
        raise Refusal("TOO_COMPLEX", f"more than {MAX_PIXELS} pixels")


def _pixels_of_png(file: BinaryIO) -> int:
    """As its header says; 0 for anything else."""
    file.seek(0)
    head = file.read(24)
    file.seek(0)
    if len(head) < 24 or head[12:16] != b"IHDR":
        return 0
    width, height = struct.unpack("!II", head[16:24])
    return int(width * height)
