"""Recordings of all browsers become voice messages that play everywhere, and never become too large."""

import io
import time
from array import array
from pathlib import Path

import pytest

from services.media.inspecting import voice
from services.media.inspecting.refusal import Refusal
from services.media.sandbox import PROGRAM, Sandbox, Verdict
from shared.contracts.media_types import MEDIA_TYPES
from shared.testing.recordings import film, heard, recording, samples, silent_hours, without_duration
from tests.unit.media import files

ROOT = Path(__file__).parents[3]
LATE_S = 0.05


def transcoded(content: bytes, content_type: str) -> tuple[float, list[float], bytes, bytes]:
    ogg, m4a = io.BytesIO(), io.BytesIO()
    seconds, waveform = voice.transcode(io.BytesIO(content), MEDIA_TYPES[content_type], ogg, m4a)
    return seconds, waveform, ogg.getvalue(), m4a.getvalue()


def check(seconds: float, ogg: bytes, m4a: bytes) -> None:
    assert ogg[:4] == b"OggS" and b"OpusHead" in ogg[:100] and m4a[4:8] == b"ftyp"
    for content, demuxer in ((ogg, "ogg"), (m4a, "mov")):
        length, channels = heard(content, demuxer)
        assert abs(length - seconds) <= LATE_S, demuxer
        assert channels == 1
    assert len(ogg) <= voice.MAX_OGG_BYTES


@pytest.mark.parametrize(
    ("container", "codec", "content_type"),
    [
        ("webm", "libopus", "audio/webm"),
        ("ogg", "libopus", "audio/ogg"),
        ("mp4", "libopus", "audio/mp4"),
        ("mp4", "aac", "audio/mp4"),
        ("adts", "aac", "audio/aac"),
        ("wav", "pcm_s16le", "audio/wav"),
        ("mp3", "libmp3lame", "audio/mpeg"),
        ("flac", "flac", "audio/flac"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_recorders_make_plays_everywhere(container: str, codec: str, content_type: str, channels: int) -> None:
    seconds, waveform, ogg, m4a = transcoded(recording(container, codec, 2.0, channels=channels), content_type)
    assert seconds == pytest.approx(2.0, abs=0.1)
    assert len(waveform) == 64 and all(0 <= peak <= 1 for peak in waveform) and max(waveform) > 0.2
    check(seconds, ogg, m4a)


def test_a_recording_without_a_duration_in_its_header_has_the_one_that_is_heard() -> None:
    webm = recording("webm", "libopus", 3.0)
    bare = without_duration(webm)
    assert bare != webm
    assert transcoded(bare, "audio/webm")[0] == pytest.approx(3.0, abs=0.05)


def test_a_recorder_that_broke_off_keeps_what_it_had() -> None:
    whole = recording("ogg", "libopus", 4.0)
    assert 1 < transcoded(whole[: len(whole) * 2 // 3], "audio/ogg")[0] < 3.5


@pytest.mark.parametrize("sound", ["speech", "noise", "silence", "music"])
def test_five_minutes_of_anything_stay_small(sound: str) -> None:
    seconds, _, ogg, m4a = transcoded(recording("wav", "pcm_s16le", 300, sound), "audio/wav")
    assert seconds == 300
    check(seconds, ogg, m4a)


@pytest.mark.parametrize("seconds", [119, 121, 179, 181, 239, 241])
def test_each_bit_rate_stays_small_up_to_its_end(seconds: int) -> None:
    ogg = io.BytesIO()
    pcm = array("h")
    pcm.frombytes(samples("noise", seconds))
    voice._encode_opus(pcm, voice.bit_rate(seconds), ogg)
    assert len(ogg.getvalue()) <= voice.MAX_OGG_BYTES


def test_the_waveform_shows_where_it_is_loud() -> None:
    pcm = array("h")
    pcm.frombytes(samples("silence", 1) + samples("noise", 1))
    peaks = voice.waveform(pcm)
    assert peaks[:32] == [0.0] * 32 and min(peaks[32:]) > 0.9
    assert voice.waveform(array("h", [1])) == [0.0] * 64


@pytest.mark.parametrize(
    ("content", "content_type", "code"),
    [
        (recording("wav", "pcm_s16le", 301), "audio/wav", "TOO_LONG"),
        (files.wav()[:60], "audio/wav", "UNREADABLE"),
        (files.PLAYLIST * 9, "audio/ogg", "UNREADABLE"),
        (files.CONCAT, "audio/mp4", "UNREADABLE"),
        (files.png(), "audio/ogg", "UNREADABLE"),
        (b"\x1aE\xdf\xa3" + b"noise" * 1000, "audio/webm", "UNREADABLE"),
        (film(), "audio/webm", "TYPE_MISMATCH"),
        (recording("ogg", "libopus", 0.05), "audio/ogg", "UNREADABLE"),
    ],
)
def test_what_is_no_voice_message_is_refused(content: bytes, content_type: str, code: str) -> None:
    with pytest.raises(Refusal) as refusal:
        transcoded(content, content_type)
    assert refusal.value.code == code


def test_ten_hours_of_silence_in_little_more_than_half_a_megabyte_are_given_up_early() -> None:
    hours = silent_hours(10)
    assert len(hours) < 700_000
    before = time.process_time()
    with pytest.raises(Refusal) as refusal:
        transcoded(hours, "audio/ogg")
    assert refusal.value.code == "TOO_LONG"
    assert time.process_time() - before < 5


async def test_in_its_process_it_comes_out_the_same(tmp_path: Path) -> None:
    source, ogg, m4a = ((tmp_path / name).open("w+b") for name in ("source", "ogg", "m4a"))
    with source, ogg, m4a:
        source.write(recording("webm", "libopus", 1.0))
        source.flush()
        box = Sandbox({"PYTHONPATH": str(ROOT)}, 120, PROGRAM)
        found: Verdict = await box.inspect(source, "audio/webm", {"ogg": ogg, "m4a": m4a})
        assert found.code is None and found.waveform is not None and len(found.waveform) == 64
        assert found.duration_s is not None
        check(found.duration_s, (tmp_path / "ogg").read_bytes(), (tmp_path / "m4a").read_bytes())
