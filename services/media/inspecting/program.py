"""`python -m services.media.inspecting.program TYPE [NAME=FD …]`: a file is standard input, a line of JSON the verdict.

Renditions go into open files, by their descriptors: `ogg` and `m4a` of a recording, `thumb` of a picture.

The limits come first, so that they hold for all that reads the file: CPU seconds, address space, no more written than
a rendition, no core dumps; and a low priority. Whoever started this watches the clock, and takes any other end than a
verdict for a refusal.
"""

import json
import os
import resource
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

CPU_S = 40
ADDRESS_SPACE = 2 << 30
MAX_WRITTEN = 16 << 20
"""Of a rendition."""


def limit() -> None:
    os.nice(10)
    for what, most in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_FSIZE, MAX_WRITTEN),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def verdict(file: BinaryIO, content_type: str, renditions: Mapping[str, BinaryIO]) -> dict[str, Any]:
    """`{"duration_s", "waveform"}` of what may be kept, `{"code", "detail"}` of what may not."""
    from services.media.inspecting.refusal import Refusal

    try:
        if "ogg" in renditions:
            return _heard(file, content_type, renditions["ogg"], renditions["m4a"])
        return {"duration_s": _checked(file, content_type, renditions.get("thumb"))}
    except Refusal as refusal:
        return {"code": refusal.code, "detail": str(refusal)}
    except MemoryError:
        return {"code": "TOO_COMPLEX", "detail": "more memory than allowed"}


def _heard(file: BinaryIO, content_type: str, ogg: BinaryIO, m4a: BinaryIO) -> dict[str, Any]:
    from services.media.inspecting import voice
    from shared.contracts.media_types import MEDIA_TYPES

    seconds, peaks = voice.transcode(file, MEDIA_TYPES[content_type], ogg, m4a)
    return {"duration_s": seconds, "waveform": peaks}


def _checked(file: BinaryIO, content_type: str, thumb: BinaryIO | None) -> float | None:
    """Seconds, of what has a duration."""
    from services.media.inspecting import archives, pictures, recordings, signature, texts
    from shared.contracts.media_types import MEDIA_TYPES

    known, duration = MEDIA_TYPES[content_type], None
    signature.check(file, known)
    if known.family == "picture":
        pictures.check(file, known, thumb)
    elif known.family == "recording":
        duration = recordings.check(file, known)
    elif known.family == "archive":
        archives.check(file, known)
    elif known.family == "text":
        texts.check(file)
    return duration


def main() -> None:
    limit()
    words = (word.split("=") for word in sys.argv[2:])
    opened: dict[str, BinaryIO] = {name: open(int(number), "r+b") for name, number in words}  # noqa: SIM115 - they end with the process
    found = verdict(sys.stdin.buffer, sys.argv[1], opened)
    for file in opened.values():
        file.flush()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
