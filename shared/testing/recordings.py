"""Recordings as browsers and telephones make them, and some that nobody would."""

import io
import math
import random
import struct
from array import array
from collections.abc import Callable
from functools import cache

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

RATE = 48_000


@cache
def samples(sound: str, seconds: float) -> bytes:
    """One second of it, again and again. `speech`: a voice's pitch and formants in syllables, roughly."""
    pick = random.Random(7)
    match sound:
        case "silence":
            second = bytes(2 * RATE)
        case "noise":
            second = pick.randbytes(2 * RATE)
        case "music":
            tones = (261.6, 329.6, 392.0, 523.3)
            second = _second(lambda t: sum(math.sin(2 * math.pi * tone * t) for tone in tones) / 4)
        case _:
            second = _second(_syllables)
    count = int(RATE * seconds)
    return (second * (count // RATE + 1))[: 2 * count]


def _second(wave: Callable[[float], float]) -> bytes:
    return array("h", [int(20_000 * wave(n / RATE)) for n in range(RATE)]).tobytes()


def _syllables(t: float) -> float:
    envelope = max(0.0, math.sin(2 * math.pi * 4 * t)) ** 2
    return envelope * sum(math.sin(2 * math.pi * 130 * k * t) / k for k in range(1, 12)) / 2.5


def recording(container: str, codec: str, seconds: float = 2.0, sound: str = "speech", channels: int = 1) -> bytes:
    """`container`, `codec`: FFmpeg's names."""
    out = io.BytesIO()
    pcm = samples(sound, seconds)
    with av.open(out, "w", format=container) as made:
        stream = made.add_stream(codec, RATE)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono" if channels == 1 else "stereo"
        resampler = av.AudioResampler(format=stream.format.name, layout=stream.layout.name, rate=RATE)
        size = 960 if codec == "libopus" else 1024
        for start in range(0, len(pcm) // 2, size):
            frame = AudioFrame(format="s16", layout="mono", samples=size)
            frame.planes[0].update(pcm[2 * start : 2 * (start + size)].ljust(2 * size, b"\0"))
            frame.sample_rate, frame.pts = RATE, start
            for part in resampler.resample(frame):
                made.mux(stream.encode(part))
        made.mux(stream.encode(None))
    return out.getvalue()


def film(seconds: float = 1.0) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="webm") as made:
        stream = made.add_stream("libvpx", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(int(10 * seconds)):
            made.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        made.mux(stream.encode(None))
    return out.getvalue()


def without_duration(webm: bytes) -> bytes:
    """As a browser's recorder leaves it: the header's duration (EBML id 44 89) is void."""
    at = webm.index(b"\x44\x89")
    length = webm[at + 2] & 0x7F
    return webm[:at] + b"\xec" + struct.pack("B", 0x80 | (length + 1)) + bytes(length + 1) + webm[at + 3 + length :]


def heard(content: bytes, demuxer: str) -> tuple[float, int]:
    """Seconds that can be decoded, and channels."""
    with av.open(io.BytesIO(content), "r", format=demuxer) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        return sum(frame.samples / frame.sample_rate for frame in frames), stream.channels


def silent_hours(hours: float) -> bytes:
    """Ogg/Opus that says nothing for hours: packets of 120 ms in one byte each."""
    toc = 0x19  # mono, SILK at 8 kHz, two frames of 60 ms, both empty (RFC 6716 3.1)
    head = b"OpusHead\x01\x01" + struct.pack("<HIhB", 0, RATE, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 4) + b"none" + struct.pack("<I", 0)
    pages = [_page(0, 0, 2, [head]), _page(0, 1, 0, [tags])]
    count, at = int(hours * 3600 / 0.12), 0
    while at < count:
        part = min(255, count - at)
        at += part
        pages.append(_page(at * 5760, len(pages), 4 if at == count else 0, [bytes([toc])] * part))
    return b"".join(pages)


def _page(position: int, number: int, flags: int, packets: list[bytes]) -> bytes:
    """Of Ogg (RFC 3533 6); packets shorter than 255 bytes."""
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, 1, number, 0, len(packets))
    page = bytearray(head + bytes(len(one) for one in packets) + b"".join(packets))
    page[22:26] = struct.pack("<I", _checksum(bytes(page)))
    return bytes(page)


def _checksum(page: bytes) -> int:
    """Ogg's CRC: 0x04c11db7, not reflected."""
    crc = 0
    for byte in page:
        crc = (crc << 8) & 0xFFFFFFFF ^ _TABLE[(crc >> 24) ^ byte]
    return crc


def _row(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = (crc << 1) & 0xFFFFFFFF ^ (0x04C11DB7 if crc & 0x80000000 else 0)
    return crc


_TABLE = [_row(byte) for byte in range(256)]
