"""Archives, and the office formats that are some: nothing is unpacked here, but people will do so."""

import itertools
import zipfile
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import BinaryIO

from services.media.inspecting.refusal import Refusal
from shared.contracts.media_types import MIB, MediaType

MAX_ENTRIES = 10_000
MAX_UNPACKED = 2_048 * MIB
MAX_RATIO = 200
RATIO_COUNTS_FROM = 10 * MIB

_HAS: Mapping[str, tuple[str, ...]] = {
    ".docx": ("[Content_Types].xml", "word/"),
    ".xlsx": ("[Content_Types].xml", "xl/"),
    ".pptx": ("[Content_Types].xml", "ppt/"),
    ".odt": ("mimetype", "content.xml"),
    ".ods": ("mimetype", "content.xml"),
    ".odp": ("mimetype", "content.xml"),
}


def check(file: BinaryIO, known: MediaType) -> None:
    """Refusal UNREADABLE, UNSAFE_ARCHIVE or TYPE_MISMATCH."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, UnicodeError, OSError) as error:
        raise Refusal("UNREADABLE", type(error).__name__) from None
    _check_size(entries)
    names = [entry.filename for entry in entries]
    if any(not is_inside(name) for name in names):
        raise Refusal("UNSAFE_ARCHIVE", "an entry outside of its folder")
    for wanted in _HAS.get(known.extensions[0], ()):
        if not any(name.startswith(wanted) for name in names):
            raise Refusal("TYPE_MISMATCH", f"no signature of {known.name}")


def is_inside(name: str) -> bool:
    """Whether unpacking an entry of this name stays below its folder, on any system."""
    if "\0" in name or ":" in name or any(ord(char) < 32 for char in name):
        return False
    path = PurePosixPath(name.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts


def _check_size(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise Refusal("UNSAFE_ARCHIVE", f"more than {MAX_ENTRIES} entries")
    unpacked, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    if unpacked > MAX_UNPACKED:
        raise Refusal("UNSAFE_ARCHIVE", f"unpacks to more than {MAX_UNPACKED} bytes")
    if unpacked > RATIO_COUNTS_FROM and unpacked > MAX_RATIO * packed:
        raise Refusal("UNSAFE_ARCHIVE", f"unpacks to more than {MAX_RATIO} times its size")
    starts = sorted((entry.header_offset, entry.header_offset + entry.compress_size) for entry in entries)
    for (_, end), (start, _) in itertools.pairwise(starts):
        if start < end:  # entries that share their bytes unpack to far more than they say together
            raise Refusal("UNSAFE_ARCHIVE", "entries that overlap")
