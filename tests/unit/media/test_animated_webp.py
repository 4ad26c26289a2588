"""Animated WebP is taken as an animated GIF is: every frame is decoded, within the same limits."""

import io

import av
import pytest
from av.video.frame import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from services.media.inspecting import animated_webp, pictures
from services.media.inspecting.refusal import Refusal
from shared.contracts.media_types import MEDIA_TYPES
from tests.unit.media.test_checking import inspect
from tests.unit.media.webp import (
    ANIM,
    BLUE,
    FORMATS,
    HALF,
    RED,
    animation,
    canvas,
    encoded,
    frame,
    painted,
    picture,
    piece,
    pieces,
    still,
    whole,
)

WEBP = MEDIA_TYPES["image/webp"]
LOSSY, SEE_THROUGH, LOSSLESS = (picture(still(how=how, colour=HALF)) for how in ("lossy", "see-through", "lossless"))
ALPHA = piece(*pieces(SEE_THROUGH)[0])
FINE = frame(LOSSLESS)
INTERFRAME = LOSSY[:8] + bytes([LOSSY[8] | 1]) + LOSSY[9:]
HUGE = picture(still(9000, 7000))
SMALL = animation(frame(LOSSY), frame(SEE_THROUGH), FINE)


def refused(content: bytes) -> str | None:
    """The code, if it is."""
    try:
        pictures.check(io.BytesIO(content), WEBP, io.BytesIO())
    except Refusal as refusal:
        return refusal.code
    return None


def thumb(content: bytes) -> bytes:
    out = io.BytesIO()
    pictures.check(io.BytesIO(content), WEBP, out)
    return out.getvalue()


def seen(content: bytes) -> VideoFrame:
    """On its thumbnail."""
    with av.open(io.BytesIO(thumb(content)), "r", format="webp_pipe") as container:
        return next(iter(container.decode(container.streams.video[0]))).reformat(format="bgra")


def at(shown: VideoFrame, x: int, y: int) -> str:
    plane = shown.planes[0]
    start = y * plane.line_size + 4 * x
    blue, _, red, alpha = bytes(plane)[start : start + 4]
    return "nothing" if alpha < 64 else "red" if red > blue else "blue"


def frames_of(content: bytes) -> list[tuple[int, int]]:
    """Their sizes."""
    file = io.BytesIO(content)
    stage = animated_webp.canvas_of(file)
    assert stage is not None
    return [(one.width, one.height) for one in animated_webp.frames(file, stage, pictures.OPTIONS)]


@pytest.mark.parametrize("pixels", FORMATS.values())
async def test_what_an_encoder_makes_is_taken(pixels: str) -> None:
    made = encoded("libwebp_anim", [painted(64, 48, colour, pixels) for colour in (RED, BLUE, RED)], loop="0")
    assert [name for name, _ in pieces(made)] == [b"VP8X", b"ANIM", b"ANMF", b"ANMF", b"ANMF"]
    assert (await inspect(made, "image/webp")).code is None
    assert frames_of(made)[0] == (64, 48) and len(frames_of(made)) == 3
    assert at(seen(made), 32, 24) == "red"


@pytest.mark.parametrize(
    "content",
    [
        animation(FINE),
        animation(frame(LOSSY), frame(SEE_THROUGH), FINE),
        animation(FINE, frame(picture(still(3, 5)), 4, 2, 3, 5)),
        animation(frame(picture(still(3, 5)), 4, 2, 3, 5), frame(picture(still(1, 1)), 6, 6, 1, 1)),
        whole(
            canvas(),
            (b"ICCP", b"profile"),
            ANIM,
            FINE,
            (b"odd ", b"123"),
            FINE,
            (b"EXIF", b"Exif\0\0"),
            (b"XMP ", b"x"),
        ),
        animation((FINE[0], FINE[1] + piece(b"more", b"odd"))),
        animation(frame(piece(*pieces(LOSSLESS)[0], fill=b"\xff"))),
        animation(FINE) + b"what comes after its end",
    ],
)
async def test_what_browsers_show_is_taken(content: bytes) -> None:
    assert (await inspect(content, "image/webp")).code is None


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(animation(), "UNREADABLE", id="no frame"),
        pytest.param(whole(canvas()), "UNREADABLE", id="nothing at all"),
        pytest.param(whole(canvas(flags=0), ANIM, FINE), "UNREADABLE", id="frames of what says it stands still"),
        pytest.param(whole(canvas(), FINE), "UNREADABLE", id="a frame that wasn't announced"),
        pytest.param(whole(canvas(), FINE, ANIM), "UNREADABLE", id="a frame before it is announced"),
        pytest.param(whole(canvas(), ANIM, ANIM, FINE), "UNREADABLE", id="announced twice"),
        pytest.param(whole(canvas(), canvas(), ANIM, FINE), "UNREADABLE", id="two canvases"),
        pytest.param(animation(FINE, canvas(9, 9)), "UNREADABLE", id="another canvas at the end"),
        pytest.param(animation(FINE, pieces(LOSSY)[0]), "UNREADABLE", id="a picture beside the frames"),
        pytest.param(whole(canvas(), pieces(LOSSY)[0]), "UNREADABLE", id="a still that says it moves"),
        pytest.param(whole((b"VP8X", canvas()[1][:9]), ANIM, FINE), "UNREADABLE", id="half a canvas"),
        pytest.param(animation(FINE, (b"ANMF", FINE[1][:15])), "UNREADABLE", id="half a frame's head"),
        pytest.param(animation(FINE, frame(b"")), "UNREADABLE", id="a frame without a picture"),
        pytest.param(animation(FINE, frame(ALPHA)), "UNREADABLE", id="a frame of alpha alone"),
        pytest.param(animation(FINE, frame(LOSSY + LOSSY)), "UNREADABLE", id="two pictures in a frame"),
        pytest.param(animation(FINE, frame(ALPHA + SEE_THROUGH)), "UNREADABLE", id="two alphas"),
        pytest.param(animation(FINE, frame(LOSSY + ALPHA)), "UNREADABLE", id="alpha behind the picture"),
        pytest.param(animation(FINE, frame(ALPHA + LOSSLESS)), "UNREADABLE", id="alpha of a lossless picture"),
        pytest.param(animation(FINE, frame(piece(*FINE))), "UNREADABLE", id="a frame in a frame"),
        pytest.param(animation(FINE, frame(LOSSLESS + piece(*FINE))), "UNREADABLE", id="a frame behind a picture"),
        pytest.param(animation(FINE, frame(piece(*ANIM) + LOSSY)), "UNREADABLE", id="an animation in a frame"),
        pytest.param(animation(FINE, frame(animation(FINE))), "UNREADABLE", id="a file in a frame"),
        pytest.param(animation(FINE, frame(LOSSLESS, 2)), "UNREADABLE", id="too far right"),
        pytest.param(animation(FINE, frame(LOSSLESS, 0, 2)), "UNREADABLE", id="too far down"),
        pytest.param(animation(FINE, frame(LOSSLESS, 1 << 24)), "UNREADABLE", id="far outside"),
        pytest.param(animation(frame(LOSSLESS, width=7)), "UNREADABLE", id="wider than it says"),
        pytest.param(animation(frame(LOSSY, height=7)), "UNREADABLE", id="higher than it says"),
        pytest.param(animation(FINE, frame(LOSSY, width=9), width=9), "UNREADABLE", id="smaller than it says"),
        pytest.param(animation(FINE, frame(HUGE)), "UNREADABLE", id="far larger than it says"),
        pytest.param(
            animation(FINE, frame(LOSSLESS[:4] + b"\xff\xff\xff\xff" + LOSSLESS[8:])), "UNREADABLE", id="size"
        ),
        pytest.param(animation(FINE, frame(piece(*pieces(LOSSLESS)[0], fill=b""))), "UNREADABLE", id="not filled up"),
        pytest.param(
            animation(FINE, frame(piece(b"VP8L", pieces(LOSSLESS)[0][1][:9]))), "UNREADABLE", id="half lossless"
        ),
        pytest.param(animation(FINE, frame(piece(b"VP8 ", pieces(LOSSY)[0][1][:20]))), "UNREADABLE", id="half lossy"),
        pytest.param(animation(frame(LOSSY), frame(INTERFRAME)), "UNREADABLE", id="a frame built upon another"),
        pytest.param(animation(FINE, width=16384, height=16384), "TOO_COMPLEX", id="a huge canvas"),
        pytest.param(animation(width=1 << 24, height=1 << 24), "TOO_COMPLEX", id="the largest canvas there is"),
        pytest.param(
            animation(frame(HUGE, 0, 0, 9000, 7000), width=9000, height=7000), "TOO_COMPLEX", id="a huge frame"
        ),
    ],
)
async def test_what_is_damaged_or_lies_is_refused(content: bytes, code: str) -> None:
    assert (await inspect(content, "image/webp")).code == code


def test_wherever_it_is_cut_off_it_is_refused() -> None:
    for end in range(len(SMALL)):
        assert refused(SMALL[:end]) == "UNREADABLE", end


def test_a_size_that_was_made_to_fit_helps_nothing_unless_whole_frames_are_left() -> None:
    ends = {12 + sum(len(piece(*one)) for one in pieces(SMALL)[:count]) for count in (3, 4, 5)}
    fitting = {end for end in range(12, len(SMALL) + 1) if refused(piece(b"RIFF", SMALL[8:end])) is None}
    assert fitting == ends


def test_what_ends_before_its_first_frame_is_refused() -> None:
    for size in range(sum(len(piece(*one)) for one in (canvas(), ANIM)) + 4):
        assert refused(SMALL[:4] + size.to_bytes(4, "little") + SMALL[8:]) == "UNREADABLE", size


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_whatever_is_changed_in_it_it_is_taken_or_refused(changes: list[tuple[int, int]]) -> None:
    spoiled = bytearray(SMALL)
    for place, value in changes:
        spoiled[place] = value
    assert refused(bytes(spoiled)) in (None, "UNREADABLE", "TOO_COMPLEX")


@given(st.binary(max_size=200))
def test_whatever_is_in_a_frame_it_is_refused(noise: bytes) -> None:
    assert refused(animation(FINE, frame(noise))) == "UNREADABLE"
    assert refused(animation(FINE, (b"ANMF", noise))) == "UNREADABLE"


def test_no_memory_is_taken_for_a_frame_that_is_larger_than_allowed() -> None:
    with pytest.raises(av.FFmpegError):
        frames_of(animation(frame(HUGE)))


def test_frames_are_decoded_up_to_the_thousandth_and_no_further() -> None:
    damaged = frame(b"")
    assert refused(animation(*[FINE] * (pictures.MAX_FRAMES - 1), damaged)) == "UNREADABLE"
    assert refused(animation(*[FINE] * pictures.MAX_FRAMES, damaged)) is None


async def test_frames_that_take_too_long_together_are_refused() -> None:
    bomb = animation(*[frame(picture(still(8000, 6000)), 0, 0, 8000, 6000)] * 999, width=8000, height=6000)
    assert len(bomb) < 3 << 20
    found = await inspect(bomb, "image/webp", "tests.unit.media.programs.hurries")
    assert found.code == "TOO_COMPLEX"


async def test_the_largest_canvas_that_is_allowed_has_room_in_the_process() -> None:
    assert (await inspect(animation(frame(picture(still(8, 8))), width=8000, height=6250), "image/webp")).code is None


def test_the_thumbnail_shows_the_first_frame_where_it_is_on_the_canvas() -> None:
    first = frame(picture(still(10, 6, BLUE)), 4, 8, 10, 6)
    small = seen(animation(first, frame(picture(still(33, 21, RED)), 0, 0, 33, 21), width=33, height=21))
    assert (small.width, small.height) == (33, 21)
    assert [at(small, *place) for place in ((9, 11), (1, 11), (18, 11), (9, 3), (9, 18))] == ["blue"] + 4 * ["nothing"]


def test_the_thumbnail_shows_nothing_but_the_first_frame() -> None:
    assert thumb(animation(FINE, frame(LOSSY), frame(SEE_THROUGH))) == thumb(animation(FINE))


@pytest.mark.parametrize(("width", "height"), [(1, 9), (9, 1), (641, 7), (900, 600)])
def test_the_thumbnail_is_of_the_canvas_however_narrow(width: int, height: int) -> None:
    scale = max(1, width / 320, height / 320)
    for how in FORMATS:
        dot = frame(picture(still(1, 1, how=how)), 0, 0, 1, 1)
        small = seen(animation(dot, width=width, height=height))
        assert (small.width, small.height) == (max(1, round(width / scale)), max(1, round(height / scale)))


def test_a_still_picture_is_still_one() -> None:
    for how in FORMATS:
        content = still(how=how)
        assert animated_webp.canvas_of(io.BytesIO(content)) is None
        assert refused(content) is None
