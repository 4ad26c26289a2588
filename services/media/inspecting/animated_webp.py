"""Animated WebP, which FFmpeg's decoder refuses: the container is read here, each frame decoded as a still picture.

The container: RFC 9649, sections 2.3 to 2.7. Where it leaves room, what libwebp (and so browsers) would not show is
damaged. A file is pieces, a frame is pieces within one; nothing is read past the end of what it is in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from av.codec.context import CodecContext
from av.filter.graph import Graph
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

_RIFF_HEAD, _PIECE_HEAD, _CANVAS_HEAD, _FRAME_HEAD = 12, 8, 10, 16
"""Bytes."""
_FLAGS_AT, _ANIMATION = 20, 0x02
_STILLS = frozenset({(b"VP8 ",), (b"VP8L",), (b"ALPH", b"VP8 ")})
_KNOWN = frozenset({b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"})
"""Each has its one place; others may be anywhere and mean nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of a frame on the canvas, or the canvas itself, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def is_within(self, canvas: "Place") -> bool:
        return self.x + self.width <= canvas.width and self.y + self.height <= canvas.height


def canvas_of(file: BinaryIO) -> Place | None:
    """As its header says; None for anything but an animated WebP."""
    file.seek(0)
    head = file.read(_RIFF_HEAD + _PIECE_HEAD + _CANVAS_HEAD)
    file.seek(0)
    if head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X" or len(head) <= _FLAGS_AT or not head[_FLAGS_AT] & _ANIMATION:
        return None
    return Place(0, 0, 1 + _number(head[24:27]), 1 + _number(head[27:30]))


def frames(file: BinaryIO, canvas: Place, options: dict[str, str]) -> Iterator[VideoFrame]:
    """In their order, the first one on the canvas, with `options` of the decoder. ValueError, av.FFmpegError: damaged.

    Each one is a picture of its own to the decoder: nothing of a frame reaches the next.
    """
    for at, payload in enumerate(_payloads(file.read())):
        place = _place(payload[:_FRAME_HEAD])
        if not place.is_within(canvas):
            raise ValueError("a frame outside of the canvas")
        frame = _decoded(_still(payload[_FRAME_HEAD:]), options)
        if (frame.width, frame.height) != (place.width, place.height):
            raise ValueError("a frame of another size than it says")
        yield _placed(frame, place, canvas) if at == 0 else frame


def _payloads(content: bytes) -> Iterator[memoryview]:
    """Of the frames."""
    end = _PIECE_HEAD + _number(content[4:_PIECE_HEAD])
    if not _RIFF_HEAD + _PIECE_HEAD + _CANVAS_HEAD <= end <= len(content):
        raise ValueError("cut off")
    pieces = _pieces(memoryview(content)[_RIFF_HEAD:end])
    if len(next(pieces)[1]) < _CANVAS_HEAD:
        raise ValueError("half a header")
    announced = False
    for name, payload in pieces:
        if name == b"ANMF" and announced:
            yield payload
        elif name == b"ANIM" and not announced:
            announced = True
        elif name in _KNOWN:
            raise ValueError("a piece out of its place")


def _pieces(content: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Names and payloads. Those of an odd length are filled up with a byte, which isn't looked at."""
    while content:
        size = _number(content[4:_PIECE_HEAD])
        filled = _PIECE_HEAD + size + size % 2
        if filled > len(content):
            raise ValueError("cut off")
        yield bytes(content[:4]), content[_PIECE_HEAD : _PIECE_HEAD + size]
        content = content[filled:]


def _place(head: memoryview) -> Place:
    """Of half a head anything: no picture follows it."""
    x, y, width, height = (_number(head[at : at + 3]) for at in (0, 3, 6, 9))
    return Place(2 * x, 2 * y, 1 + width, 1 + height)


def _still(content: memoryview) -> bytes:
    """A WebP file of a frame's picture alone."""
    pieces = [(name, payload) for name, payload in _pieces(content) if name in _KNOWN]
    if tuple(name for name, _ in pieces) not in _STILLS:
        raise ValueError("a frame that is no picture")
    return _piece(b"RIFF", b"WEBP" + b"".join(_piece(name, payload) for name, payload in pieces))


def _piece(name: bytes, payload: bytes | memoryview) -> bytes:
    return b"".join((name, len(payload).to_bytes(4, "little"), payload, bytes(len(payload) % 2)))


def _decoded(still: bytes, options: dict[str, str]) -> VideoFrame:
    context = CodecContext.create("webp", "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    context.options = options
    (frame,) = context.decode(Packet(still))
    return frame


def _placed(frame: VideoFrame, place: Place, canvas: Place) -> VideoFrame:
    """See-through where the frame isn't."""
    if (place.width, place.height) == (canvas.width, canvas.height):
        return frame
    graph = Graph()
    graph.threads = 1
    see_through = frame.reformat(format="bgra", threads=1)
    source = graph.add_buffer(width=place.width, height=place.height, format=see_through.format, time_base=Fraction(1))
    pad = graph.add("pad", f"{canvas.width}:{canvas.height}:{place.x}:{place.y}:black@0")
    graph.link_nodes(source, pad, graph.add("buffersink")).configure()
    graph.vpush(see_through)
    return graph.vpull()


def _number(little_endian: bytes | memoryview) -> int:
    return int.from_bytes(little_endian, "little")
