"""A small picture of a picture: as it is seen (turned as its camera was held), nothing of its metadata.

Nothing here starts a thread: its process may not.
"""

from fractions import Fraction
from typing import BinaryIO

import av
from av.filter.graph import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

LONGEST_SIDE = 320
"""Pixels."""
QUALITY = "75"
_TURNS = {90: ("cclock",), 180: ("clock", "clock"), 270: ("clock",)}
"""Degrees counter-clockwise, as FFmpeg says them -> its words for quarter turns."""


def write(frame: VideoFrame, into: BinaryIO) -> None:
    """WebP, at most 320 pixels wide and high."""
    small = _turned(_small(frame), _TURNS.get(frame.rotation % 360, ()))
    with av.open(into, "w", format="webp") as container:
        stream = container.add_stream("libwebp", 1, options={"quality": QUALITY})
        assert isinstance(stream, VideoStream)
        stream.codec_context.thread_count = 1
        stream.width, stream.height, stream.pix_fmt = small.width, small.height, small.format.name
        container.mux(stream.encode(small))
        container.mux(stream.encode(None))


def _small(frame: VideoFrame) -> VideoFrame:
    scale = min(1.0, LONGEST_SIDE / max(frame.width, frame.height))
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    see_through = frame.format.name == "pal8" or any(component.is_alpha for component in frame.format.components)
    small = frame.reformat(width, height, "yuva420p" if see_through else "yuv420p", interpolation="AREA", threads=1)
    small.pts = 0
    return small


def _turned(frame: VideoFrame, turns: tuple[str, ...]) -> VideoFrame:
    for turn in turns:
        graph = Graph()
        graph.threads = 1
        source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1))
        graph.link_nodes(source, graph.add("transpose", turn), graph.add("buffersink")).configure()
        graph.vpush(frame)
        frame = graph.vpull()
    return frame
