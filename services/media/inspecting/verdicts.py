"""What is said of a file: everything that does so is imported here, before the process is confined."""

import codecs
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, BinaryIO

import av

from services.media.inspecting import archives, pictures, recordings, signature, texts, voice
from services.media.inspecting.refusal import Refusal
from shared.contracts.media_types import MEDIA_TYPES

for _module in pkgutil.walk_packages(av.__path__, "av."):  # some are imported where they are first used
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)
for _encoding in ("utf-16", "cp437"):  # of texts, and of names in archives: else looked up when first used
    codecs.lookup(_encoding)


def verdict(file: BinaryIO, content_type: str, renditions: Mapping[str, BinaryIO]) -> dict[str, Any]:
    """`{"duration_s", "waveform"}` of what may be kept, `{"code", "detail"}` of what may not."""
    try:
        if "ogg" in renditions:
            return _heard(file, content_type, renditions["ogg"], renditions["m4a"])
        return {"duration_s": _checked(file, content_type, renditions.get("thumb"))}
    except Refusal as refusal:
        return {"code": refusal.code, "detail": str(refusal)}
    except MemoryError:
        return {"code": "TOO_COMPLEX", "detail": "more memory than allowed"}


def _heard(file: BinaryIO, content_type: str, ogg: BinaryIO, m4a: BinaryIO) -> dict[str, Any]:
    seconds, peaks = voice.transcode(file, MEDIA_TYPES[content_type], ogg, m4a)
    return {"duration_s": seconds, "waveform": peaks}


def _checked(file: BinaryIO, content_type: str, thumb: BinaryIO | None) -> float | None:
    """Seconds, of what has a duration."""
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
