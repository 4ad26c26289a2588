"""Files are what they say, or are refused; whatever a file does to the process that reads it stays there."""

import tempfile
from pathlib import Path

import pytest

from services.media import sandbox
from services.media.inspecting.archives import is_inside
from services.media.sandbox import PROGRAM, NoVerdict, Sandbox, Verdict
from shared.testing.recordings import silent_hours
from tests.unit.media import files
from tests.unit.media.files import packed, png, wav

ROOT = Path(__file__).parents[3]
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
ODT = "application/vnd.oasis.opendocument.text"


async def inspect(content: bytes, content_type: str, program: str = PROGRAM, wall_s: float = 120) -> Verdict:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        return await Sandbox({"PYTHONPATH": str(ROOT)}, wall_s, program).inspect(file, content_type)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (png(64), "image/png"),
        (files.GIF, "image/gif"),
        (wav(), "audio/wav"),
        (files.PDF, "application/pdf"),
        (files.OLE, "application/msword"),
        (files.OLE, "application/vnd.ms-excel"),
        (b"{\\rtf1 hello}", "application/rtf"),
        (packed("a.txt", "b/c.txt"), "application/zip"),
        (files.DOCX, DOCX),
        (files.ODT, ODT),
        ("grüße\r\n".encode(), "text/plain"),
        ("grüße\r\n".encode("latin-1"), "text/csv"),
        ("grüße\r\n".encode("utf-16"), "text/csv"),
        (files.HTML, "text/html"),
        (files.SVG, "image/svg+xml"),
    ],
)
async def test_what_is_what_it_says_is_taken(content: bytes, content_type: str) -> None:
    assert (await inspect(content, content_type)).code is None


@pytest.mark.parametrize(
    ("content", "content_type", "code"),
    [
        (files.HTML, "image/png", "TYPE_MISMATCH"),
        (files.PROGRAM, "application/pdf", "TYPE_MISMATCH"),
        (files.PROGRAM, "text/plain", "TYPE_MISMATCH"),
        (b"\xff\xfe\x00\xd8", "text/plain", "TYPE_MISMATCH"),
        (files.GIF, "image/png", "TYPE_MISMATCH"),
        (png(64), "application/pdf", "TYPE_MISMATCH"),
        (packed("a.txt"), DOCX, "TYPE_MISMATCH"),
        (files.DOCX, ODT, "TYPE_MISMATCH"),
        (wav(), "video/mp4", "UNREADABLE"),
        (png(64), "audio/ogg", "UNREADABLE"),
        (png(8)[:30], "image/png", "UNREADABLE"),
        (png(64)[:-40], "image/png", "UNREADABLE"),
        (files.GIF[:20], "image/gif", "UNREADABLE"),
        (wav()[:44], "audio/wav", "UNREADABLE"),
        (files.PLAYLIST, "audio/ogg", "UNREADABLE"),
        (files.PLAYLIST, "video/mp4", "UNREADABLE"),
        (files.CONCAT, "audio/mp4", "UNREADABLE"),
        (packed("a.txt")[:-10], "application/zip", "UNREADABLE"),
        (png(40_000), "image/png", "TOO_COMPLEX"),
        (packed("../a.txt"), "application/zip", "UNSAFE_ARCHIVE"),
        (packed("/etc/passwd"), "application/zip", "UNSAFE_ARCHIVE"),
        (packed("a\\..\\..\\b"), "application/zip", "UNSAFE_ARCHIVE"),
        (packed("c:/windows/b"), "application/zip", "UNSAFE_ARCHIVE"),
        (packed("bomb", content=bytes(64 << 20)), "application/zip", "UNSAFE_ARCHIVE"),
        (packed(*map(str, range(10_001)), content=b""), "application/zip", "UNSAFE_ARCHIVE"),
        (files.overlapping(), "application/zip", "UNSAFE_ARCHIVE"),
    ],
)
async def test_what_lies_is_refused(content: bytes, content_type: str, code: str) -> None:
    assert (await inspect(content, content_type)).code == code


@pytest.mark.parametrize(
    ("program", "code"),
    [("crashes", "UNREADABLE"), ("babbles", "UNREADABLE"), ("burns", "TOO_COMPLEX")],
)
async def test_whatever_becomes_of_the_process_is_a_verdict(program: str, code: str) -> None:
    found = await inspect(png(), "image/png", f"tests.unit.media.programs.{program}")
    assert found.code == code


@pytest.mark.parametrize(("program", "wall_s", "code"), [("hangs", 0.5, "TOO_COMPLEX"), ("fails", 120, "UNREADABLE")])
async def test_a_process_that_says_nothing_of_the_file_is_no_verdict(program: str, wall_s: float, code: str) -> None:
    with pytest.raises(NoVerdict) as nothing:
        await inspect(png(), "image/png", f"tests.unit.media.programs.{program}", wall_s)
    assert nothing.value.code == code


async def test_a_check_gives_way_to_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "NICENESS", 19)
    assert (await inspect(png(), "image/png", "tests.unit.media.programs.polite")).detail == "niceness 19"


async def test_sound_that_plays_for_ten_hours_is_refused() -> None:
    assert (await inspect(silent_hours(10), "audio/ogg")).code == "TOO_LONG"
    assert (await inspect(silent_hours(0.1), "audio/ogg")).code is None


async def test_a_recording_has_its_duration() -> None:
    found = await inspect(wav(0.5), "audio/wav")
    assert found.duration_s == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", ["a", "a/b", "./a", "a..b/c", "ä/b"])
def test_entries_below_their_folder_are_fine(name: str) -> None:
    assert is_inside(name)
