"""Whether a file begins (or, for some, ends) as its type does: by the signatures that puremagic knows."""

from collections.abc import Mapping
from typing import BinaryIO

import puremagic

from services.media.inspecting.refusal import Refusal
from shared.contracts.media_types import MediaType

HEAD = 1 << 16

_ALSO: Mapping[str, frozenset[str]] = {
    "image/jpeg": frozenset({".jpe", ".jfif"}),
    "application/msword": frozenset({".doc"}),
    "application/vnd.ms-excel": frozenset({".xls", ".doc"}),
    "application/vnd.ms-powerpoint": frozenset({".ppt", ".doc"}),
}
"""Other extensions by which puremagic knows a type; the old office formats begin alike."""

_ZIP = frozenset({".zip", ".docx", ".jar"})


def check(file: BinaryIO, known: MediaType) -> None:
    """Refusal TYPE_MISMATCH. Says nothing of recordings, whose formats are told apart by opening them, nor of text."""
    if known.family not in ("picture", "document", "archive"):
        return
    expected = _ZIP if known.family == "archive" else frozenset(known.extensions) | _ALSO.get(known.name, frozenset())
    if not expected & _extensions(file):
        raise Refusal("TYPE_MISMATCH", f"no signature of {known.name}")


def _extensions(file: BinaryIO) -> set[str]:
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    try:
        return {match.extension for match in puremagic.magic_string(head)}
    except (puremagic.PureError, ValueError):
        return set()
