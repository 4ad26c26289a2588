"""Small pictures of pictures: small, the right way up, see-through where the picture is, and without its metadata."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import av
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from services.media.inspecting import pictures
from services.media.sandbox import PROGRAM
from shared.contracts.media_types import MEDIA_TYPES
from tests.unit.media import webp
from tests.unit.media.files import GIF, png

ORIENTED = {1: (200, 100), 3: (200, 100), 6: (100, 200), 8: (100, 200)}


def jpeg(width: int = 200, height: int = 100, orientation: int = 1, secret: bytes = b"") -> bytes:
    """Left half red, right half blue; with an EXIF block that says how the camera was held, and a comment."""
    out = io.BytesIO()
    line = b"\xff\0\0" * (width // 2) + b"\0\0\xff" * (width - width // 2)
    frame = VideoFrame(width, height, "rgb24")
    plane = frame.planes[0]
    plane.update(line.ljust(plane.line_size, b"\0") * height)
    with av.open(out, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", 1)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        container.mux(stream.encode(frame.reformat(format="yuvj420p")))
        container.mux(stream.encode(None))
    plain = out.getvalue()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack("!HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"
    blocks = b"\xff\xe1" + struct.pack("!H", len(exif) + 2) + exif
    blocks += b"\xff\xfe" + struct.pack("!H", len(secret) + 2) + secret
    return plain[:2] + blocks + plain[2:]


def small(content: bytes, content_type: str) -> bytes:
    out = io.BytesIO()
    pictures.check(io.BytesIO(content), MEDIA_TYPES[content_type], out)
    return out.getvalue()


def seen(thumb: bytes) -> VideoFrame:
    with av.open(io.BytesIO(thumb), "r", format="webp_pipe") as container:
        return next(iter(container.decode(container.streams.video[0])))


def colour(thumb: bytes, x: float, y: float) -> str:
    """Of a place, from 0 to 1."""
    frame = seen(thumb).reformat(format="rgb24")
    plane = frame.planes[0]
    at = int(y * frame.height) * plane.line_size + 3 * int(x * frame.width)
    red, _, blue = bytes(plane)[at : at + 3]
    return "red" if red > blue else "blue"


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(8, 8, (8, 8)), (640, 480, (320, 240)), (480, 640, (240, 320)), (3000, 2, (320, 1)), (1, 1, (1, 1))],
)
def test_it_is_no_larger_than_320_pixels_and_never_larger_than_the_picture(
    width: int, height: int, expected: tuple[int, int]
) -> None:
    frame = seen(small(png(width, height), "image/png"))
    assert (frame.width, frame.height) == expected


@pytest.mark.parametrize(
    ("orientation", "red_at"), [(1, (0.2, 0.5)), (3, (0.8, 0.5)), (6, (0.5, 0.2)), (8, (0.5, 0.8))]
)
def test_it_stands_as_the_camera_was_held(orientation: int, red_at: tuple[float, float]) -> None:
    thumb = small(jpeg(orientation=orientation), "image/jpeg")
    frame = seen(thumb)
    assert (frame.width, frame.height) == ORIENTED[orientation]
    assert colour(thumb, *red_at) == "red"
    assert colour(thumb, 1 - red_at[0], 1 - red_at[1]) == "blue"


def test_nothing_of_the_metadata_goes_along() -> None:
    secret = b"taken at 47.3769 N 8.5417 E"
    picture = jpeg(secret=secret)
    assert secret in picture
    thumb = small(picture, "image/jpeg")
    assert secret not in thumb and b"EXIF" not in thumb and b"Exif" not in thumb


def test_an_animation_shows_its_first_frame() -> None:
    assert seen(small(GIF, "image/gif")).width == 2


def test_of_a_large_picture_it_stays_small() -> None:
    assert 0 < len(small(jpeg(4000, 3000), "image/jpeg")) < 100_000


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (png(290), "image/png"),
        (jpeg(900, 600, 6), "image/jpeg"),
        (GIF, "image/gif"),
        (webp.animation(webp.frame(webp.picture(webp.still())), width=900, height=600), "image/webp"),
    ],
)
def test_the_confined_program_writes_it_into_the_open_file(tmp_path: Path, content: bytes, content_type: str) -> None:
    source, thumb = (open(f"{tmp_path}/{name}", "w+b") for name in ("source", "thumb"))  # noqa: SIM115
    with source, thumb:
        source.write(content)
        source.seek(0)
        words = (sys.executable, "-m", PROGRAM, content_type, "0", f"thumb={thumb.fileno()}")
        ended = subprocess.run(words, stdin=source, pass_fds=[thumb.fileno()], capture_output=True, check=True)
        thumb.seek(0)
        assert (ended.stdout, thumb.read()[8:12]) == (b'{"duration_s": null}', b"WEBP")
