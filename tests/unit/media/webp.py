"""WebP pictures and animations, made here from stills, and spoiled as asked."""

import io
from collections.abc import Sequence

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

RED, BLUE, HALF = (0, 0, 255, 255), (255, 0, 0, 255), (0, 0, 255, 128)
"""Blue, green, red, alpha."""
FORMATS = {"lossy": "yuv420p", "see-through": "yuva420p", "lossless": "bgra"}
ANIM = b"ANIM", bytes(6)


def encoded(encoder: str, frames: Sequence[VideoFrame], **options: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="webp") as container:
        stream = container.add_stream(encoder, 10, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        for at, frame in enumerate(frames):
            frame.pts = at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def painted(width: int, height: int, colour: Sequence[int], pixels: str) -> VideoFrame:
    frame = VideoFrame(width, height, "bgra")
    plane = frame.planes[0]
    plane.update(bytes(colour) * (plane.line_size // 4 * height))
    return frame.reformat(format=pixels)


def still(width: int = 8, height: int = 8, colour: Sequence[int] = RED, how: str = "lossless") -> bytes:
    options = {"lossless": "1"} if how == "lossless" else {}
    return encoded("libwebp", [painted(width, height, colour, FORMATS[how])], **options)


def pieces(content: bytes) -> list[tuple[bytes, bytes]]:
    """Of a WebP file, or of what is in a frame."""
    found, at = [], 12 if content.startswith(b"RIFF") else 0
    while at < len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        found.append((content[at : at + 4], content[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def piece(name: bytes, payload: bytes, fill: bytes = b"\0") -> bytes:
    return name + len(payload).to_bytes(4, "little") + payload + fill * (len(payload) % 2)


def picture(content: bytes) -> bytes:
    """What a still picture and a frame have in common."""
    return b"".join(piece(*one) for one in pieces(content) if one[0] in (b"ALPH", b"VP8 ", b"VP8L"))


def frame(content: bytes, x: int = 0, y: int = 0, width: int = 8, height: int = 8) -> tuple[bytes, bytes]:
    """Of a picture; x and y are even. It may be none, and of another size."""
    numbers = (x // 2, y // 2, width - 1, height - 1, 100)
    return b"ANMF", b"".join(number.to_bytes(3, "little") for number in numbers) + b"\0" + content


def canvas(width: int = 8, height: int = 8, flags: int = 0x12) -> tuple[bytes, bytes]:
    return b"VP8X", bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def whole(*parts: tuple[bytes, bytes]) -> bytes:
    return piece(b"RIFF", b"WEBP" + b"".join(piece(*part) for part in parts))


def animation(*frames: tuple[bytes, bytes], width: int = 8, height: int = 8) -> bytes:
    return whole(canvas(width, height), ANIM, *frames)
