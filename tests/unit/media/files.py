"""Files of all kinds, made here; and what pretends to be one."""

import io
import random
import struct
import wave
import zipfile
import zlib


def png(width: int = 8, height: int | None = None) -> bytes:
    height = width if height is None else height
    line = 3 * width
    noise = random.Random(7).randbytes(min(height * line, 1 << 18))
    rows = b"".join(b"\0" + noise[at : at + line] for at in range(0, height * line, line))
    head = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack("!I", len(data)) + tag + data + struct.pack("!I", zlib.crc32(tag + data)) for tag, data in chunks
    )


def wav(seconds: float = 0.5) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(random.Random(7).randbytes(2 * int(16_000 * seconds)))
    return out.getvalue()


def packed(*names: str, content: bytes = b"content") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return out.getvalue()


def overlapping(entries: int = 40) -> bytes:
    """A zip whose entries are all the same bytes."""
    whole = packed("a", content=bytes(1 << 20))
    directory = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    rows = whole[directory:end] * entries
    tail = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, entries, entries, len(rows), directory, 0)
    return whole[:directory] + rows + tail


PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
HTML = b"<!doctype html><script>alert(1)</script>" + b" " * 200
PROGRAM = b"MZ" + bytes(300)
PLAYLIST = b"#EXTM3U\nfile:///etc/passwd\n"
CONCAT = b"ffconcat version 1.0\nfile /etc/passwd\n"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
GIF = bytes.fromhex("474946383961020002008000000000 00ffffff2c000000000200020000 0203440205003b")
DOCX = packed("[Content_Types].xml", "word/document.xml")
ODT = packed("mimetype", "content.xml")
