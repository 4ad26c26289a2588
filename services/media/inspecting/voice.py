"""A recording becomes a voice message: Ogg/Opus that messengers play in place, M4A/AAC for browsers without Opus.

Decoded whole, so its length is what is heard, not what a header says; mono, 48 kHz; loudness is left alone, and nothing
of the original's metadata goes along.
"""

from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream

from services.media.inspecting.refusal import Refusal
from shared.contracts.media_types import MediaType

RATE = 48_000
MAX_S = 300
TOLERANCE_S = 0.5
"""Recorders stop a little late."""
MIN_S = 0.1
PEAKS = 64
STRIDE = 6
"""Every so many samples are looked at for a peak: 8,000 a second show where it is loud."""

OPUS_FRAME, AAC_FRAME = 960, 1_024
MAX_OGG_BYTES = 512_000
"""Up to here WhatsApp plays a voice message in place."""
BIT_RATES = ((120, 32_000), (180, 20_000), (240, 16_000), (MAX_S, 12_000))
"""Seconds up to which a constant bit rate stays below that."""
AAC_BIT_RATE = 64_000


def transcode(file: BinaryIO, known: MediaType, ogg: BinaryIO, m4a: BinaryIO) -> tuple[float, list[float]]:
    """-> seconds and waveform. Refusal UNREADABLE, TYPE_MISMATCH or TOO_LONG."""
    try:
        samples = _decoded(file, known)
    except MemoryError:
        raise Refusal("TOO_COMPLEX", "more memory than allowed") from None
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise Refusal("UNREADABLE", type(error).__name__) from None
    seconds = len(samples) / RATE
    if seconds < MIN_S:
        raise Refusal("UNREADABLE", "nothing to be heard in it")
    _encode_opus(samples, bit_rate(seconds), ogg)
    if ogg.tell() > MAX_OGG_BYTES:
        raise Refusal("TOO_COMPLEX", "it cannot be made small enough")
    _encode_aac(samples, m4a)
    return seconds, waveform(samples)


def bit_rate(seconds: float) -> int:
    return next((rate for up_to, rate in BIT_RATES if seconds <= up_to), BIT_RATES[-1][1])


def waveform(samples: "array[int]") -> list[float]:
    """The peaks of 64 equal parts, from 0 to 1."""
    seen = samples[::STRIDE]
    ends = [len(seen) * index // PEAKS for index in range(PEAKS + 1)]
    parts = [seen[start:end] for start, end in pairwise(ends)]
    return [round(min(1.0, max(max(part), -min(part)) / 32_767), 3) if part else 0.0 for part in parts]


def _decoded(file: BinaryIO, known: MediaType) -> "array[int]":
    samples = array("h")
    most = int((MAX_S + TOLERANCE_S) * RATE)
    resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(file, "r", format=known.demuxers[0]) as container:
        if container.streams.video:
            raise Refusal("TYPE_MISMATCH", "a film, not a recording")
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            for part in resampler.resample(frame):
                samples.frombytes(bytes(part.planes[0])[: part.samples * 2])
            if len(samples) > most:
                raise Refusal("TOO_LONG", f"longer than {MAX_S} s")
    for part in resampler.resample(None):
        samples.frombytes(bytes(part.planes[0])[: part.samples * 2])
    return samples[: MAX_S * RATE]


def _encode_opus(samples: "array[int]", rate: int, into: BinaryIO) -> None:
    """At a constant rate: a variable one overshoots on noise and music."""
    with av.open(into, "w", format="ogg") as container:
        options = {"vbr": "off", "application": "voip", "frame_duration": "20"}
        stream = container.add_stream("libopus", RATE, options=options)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        stream.bit_rate = rate
        for frame in _frames(samples, OPUS_FRAME):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _encode_aac(samples: "array[int]", into: BinaryIO) -> None:
    with av.open(into, "w", format="ipod") as container:
        stream = container.add_stream("aac", RATE)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        stream.bit_rate = AAC_BIT_RATE
        planar = AudioResampler(format="fltp", layout="mono", rate=RATE)
        for frame in _frames(samples, AAC_FRAME):
            for part in planar.resample(frame):
                container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def _frames(samples: "array[int]", size: int) -> Iterator[AudioFrame]:
    """The last one is filled up with silence."""
    for start in range(0, len(samples), size):
        part = samples[start : start + size].tobytes()
        frame = AudioFrame(format="s16", layout="mono", samples=size)
        frame.planes[0].update(part.ljust(2 * size, b"\0"))
        frame.sample_rate = RATE
        frame.pts = start
        yield frame
