"""File names: what people write is kept, what misleads or breaks something is refused."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.media.filenames import MAX_NAME, BadName, checked_name


@pytest.mark.parametrize(
    "name",
    [
        "catálogo 2026.png",
        "فهرست.pdf",
        "می‌خواهم.txt",
        "価格表.xlsx",
        "x",
        "a.b.c",
        "-",
        "👩‍🔧.png",
        "(1) [final] 50%.zip",
    ],
)
def test_names_that_people_give_are_kept(name: str) -> None:
    assert checked_name(f"  {name} ") == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        ".",
        "..",
        "../../x.png",
        "a/b.png",
        "a\\b.png",
        "C:x.png",
        "photo\u202egnp.exe",
        "photo\u2066x.png",
        "a\u200fb.png",
        "a\nb.png",
        "a\x00.png",
        "a\x7f.png",
        "a\u2028b",
        "a\ud800b",
        "a\ufeffb",
        "con",
        "NUL.txt",
        "com1.png",
        "é" * 200,
        "x" * 256,
        "what?.png",
        'a".png',
    ],
)
def test_names_that_mislead_or_break_something_are_refused(name: str) -> None:
    with pytest.raises(BadName):
        checked_name(name)


@given(st.text(max_size=300))
def test_whatever_is_taken_is_plain(name: str) -> None:
    try:
        taken = checked_name(name)
    except BadName:
        return
    assert taken == taken.strip() == checked_name(taken)
    assert 0 < len(taken.encode()) <= MAX_NAME
    assert not set(taken) & set("/\\\0\n\r\u202e")
