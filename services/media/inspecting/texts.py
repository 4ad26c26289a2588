"""Texts: characters of some encoding, nothing binary."""

import codecs
from typing import BinaryIO

from services.media.inspecting.refusal import Refusal

CHUNK = 1 << 20
_CONTROLS = frozenset(range(32)) - {7, 8, 9, 10, 11, 12, 13, 27}
_MARKED = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def check(file: BinaryIO) -> None:
    """Refusal TYPE_MISMATCH: it is neither marked UTF-16 nor free of control characters."""
    file.seek(0)
    head = file.read(2)
    file.seek(0)
    encoding = next((name for mark, name in _MARKED if head == mark), None)
    if encoding is not None:
        _decode(file, encoding)
        return
    while chunk := file.read(CHUNK):
        if _CONTROLS & set(chunk):
            raise Refusal("TYPE_MISMATCH", "not text")


def _decode(file: BinaryIO, encoding: str) -> None:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while chunk := file.read(CHUNK):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise Refusal("TYPE_MISMATCH", f"not {encoding}") from None
