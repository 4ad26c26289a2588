"""Which files may be kept and sent: content types, what they are to people, and how large they may be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.contracts.resources import AttachmentKind

Family = Literal["picture", "recording", "document", "archive", "text"]
"""How the content is checked: decoded as a picture or a recording, by its signature, as an archive, as text."""

Purpose = Literal["voice", "attachment"]

MIB = 1 << 20
RENDITION_TYPES: Mapping[str, str] = {"ogg": "audio/ogg; codecs=opus", "m4a": "audio/mp4", "thumb": "image/webp"}
"""Of what is made of a file; the original has its own."""
MAX_RECORDING = 16 * MIB
"""Bytes of what becomes a voice message."""
OPAQUE = "application/octet-stream"
_CONTENT_TYPE = re.compile(r"([a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,100})(?:;[\x20-\x7e]{0,100})?")


@dataclass(frozen=True, slots=True)
class MediaType:
    """`extensions`: those a file name may end with, the usual one first. `demuxers`: FFmpeg's names of the formats that
    may be opened for it. `inline`: a browser may show it; all else is only ever downloaded. `active`: could run code in
    a browser, so not even its type is told to one."""

    name: str
    kind: AttachmentKind
    family: Family
    extensions: tuple[str, ...]
    max_bytes: int
    demuxers: tuple[str, ...] = ()
    inline: bool = False
    active: bool = False


def _picture(name: str, demuxer: str, *extensions: str) -> MediaType:
    return MediaType(name, "image", "picture", extensions, 20 * MIB, (demuxer,), inline=True)


def _audio(name: str, demuxer: str, *extensions: str) -> MediaType:
    return MediaType(name, "audio", "recording", extensions, 100 * MIB, (demuxer,), inline=True)


def _video(name: str, demuxer: str, *extensions: str) -> MediaType:
    return MediaType(name, "video", "recording", extensions, 100 * MIB, (demuxer,), inline=True)


def _document(name: str, *extensions: str) -> MediaType:
    return MediaType(name, "file", "document", extensions, 100 * MIB)


def _archive(name: str, *extensions: str) -> MediaType:
    return MediaType(name, "file", "archive", extensions, 100 * MIB)


def _text(name: str, *extensions: str, active: bool = False) -> MediaType:
    return MediaType(name, "file", "text", extensions, 100 * MIB, active=active)


_OPEN_XML = "application/vnd.openxmlformats-officedocument."
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."

_ALL = (
    _picture("image/png", "png_pipe", ".png"),
    _picture("image/jpeg", "jpeg_pipe", ".jpg", ".jpeg"),
    _picture("image/gif", "gif", ".gif"),
    _picture("image/webp", "webp_pipe", ".webp"),
    _audio("audio/ogg", "ogg", ".ogg", ".oga", ".opus"),
    _audio("audio/webm", "matroska", ".webm", ".weba"),
    _audio("audio/mp4", "mov", ".m4a", ".mp4"),
    _audio("audio/mpeg", "mp3", ".mp3"),
    _audio("audio/aac", "aac", ".aac"),
    _audio("audio/wav", "wav", ".wav"),
    _audio("audio/amr", "amr", ".amr"),
    _audio("audio/flac", "flac", ".flac"),
    _video("video/mp4", "mov", ".mp4", ".m4v"),
    _video("video/quicktime", "mov", ".mov"),
    _video("video/3gpp", "mov", ".3gp"),
    _video("video/webm", "matroska", ".webm"),
    _document("application/pdf", ".pdf"),
    _document("application/msword", ".doc"),
    _document("application/vnd.ms-excel", ".xls"),
    _document("application/vnd.ms-powerpoint", ".ppt"),
    _document("application/rtf", ".rtf"),
    _archive(_OPEN_XML + "wordprocessingml.document", ".docx"),
    _archive(_OPEN_XML + "spreadsheetml.sheet", ".xlsx"),
    _archive(_OPEN_XML + "presentationml.presentation", ".pptx"),
    _archive(_OPEN_DOCUMENT + "text", ".odt"),
    _archive(_OPEN_DOCUMENT + "spreadsheet", ".ods"),
    _archive(_OPEN_DOCUMENT + "presentation", ".odp"),
    _archive("application/zip", ".zip"),
    _text("text/plain", ".txt", ".log", ".md"),
    _text("text/csv", ".csv"),
    _text("application/json", ".json"),
    _text("text/html", ".html", ".htm", active=True),
    _text("image/svg+xml", ".svg", active=True),
    _text("application/xml", ".xml", active=True),
    _text("text/xml", ".xml", active=True),
)
_OTHER_NAMES: Mapping[str, str] = {
    "image/jpg": "image/jpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-m4a": "audio/mp4",
    "audio/m4a": "audio/mp4",
    "audio/mp3": "audio/mpeg",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
    "application/x-zip-compressed": "application/zip",
    "text/rtf": "application/rtf",
    "text/markdown": "text/plain",
}

MEDIA_TYPES: Mapping[str, MediaType] = {row.name: row for row in _ALL}
_BY_EXTENSION: Mapping[str, MediaType] = {ending: row for row in reversed(_ALL) for ending in reversed(row.extensions)}


def media_type_of(content_type: str) -> MediaType | None:
    """By what a `Content-Type` says, parameters and case aside; None for what is not kept."""
    match = _CONTENT_TYPE.fullmatch(content_type.strip().lower())
    if match is None:
        return None
    return MEDIA_TYPES.get(_OTHER_NAMES.get(match[1], match[1]))


def by_extension(extension: str) -> MediaType | None:
    """By the ending of a file's name, dot included; the usual one of several."""
    return _BY_EXTENSION.get(extension.lower())


def max_bytes(purpose: Purpose, known: MediaType) -> int:
    """The largest file of this type that is taken."""
    return MAX_RECORDING if purpose == "voice" else known.max_bytes


def kind_of(purpose: Purpose, content_type: str | None) -> AttachmentKind:
    """What a media is to people."""
    if purpose == "voice":
        return "voice"
    known = media_type_of(content_type or "")
    return known.kind if known else "file"


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a download shall be taken, whoever downloads it."""

    content_type: str
    filename: str
    inline: bool


def presentation(content_type: str, filename: str | None) -> Presentation:
    """What a signed URL says of its file: nothing that runs in a browser is named as such, and the name ends as the
    type says, so that nobody opens a picture as a program: another type's ending gives way, an unknown one stays."""
    known = media_type_of(content_type)
    if known is None:
        return Presentation(OPAQUE, filename or "file.bin", False)
    name = filename or f"{known.kind}{known.extensions[0]}"
    if not name.lower().endswith(known.extensions):
        stem, dot, ending = name.rpartition(".")
        name = (stem if stem and dot + ending.lower() in _BY_EXTENSION else name) + known.extensions[0]
    return Presentation(OPAQUE if known.active else content_type, name, known.inline)
