"""Content types as they come, and how a download says what it is."""

import pytest

from shared.contracts.media_types import MEDIA_TYPES, OPAQUE, kind_of, media_type_of, presentation


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("audio/webm;codecs=opus", "audio/webm"),
        ("text/plain; charset=utf-8", "text/plain"),
        ("audio/x-m4a", "audio/mp4"),
        ("image/jpg", "image/jpeg"),
    ],
)
def test_types_are_known_by_their_usual_names(said: str, name: str) -> None:
    found = media_type_of(said)
    assert found is not None and found.name == name


@pytest.mark.parametrize(
    "said",
    ["", "image", "application/x-msdownload", "text\r\nX: y", "image/png\r\nX: y", "image/png, text/html", "*/*"],
)
def test_what_is_not_on_the_list_is_not_known(said: str) -> None:
    assert media_type_of(said) is None
    assert presentation(said, "a.exe").content_type == OPAQUE


@pytest.mark.parametrize("name", ["text/html", "image/svg+xml", "application/xml", "text/xml"])
def test_what_could_run_is_never_shown_nor_named(name: str) -> None:
    look = presentation(name, "page.html")
    assert (look.content_type, look.inline) == (OPAQUE, False)


def test_only_pictures_sound_and_films_are_shown_in_place() -> None:
    shown = {name for name, known in MEDIA_TYPES.items() if presentation(name, None).inline}
    assert shown == {name for name, known in MEDIA_TYPES.items() if known.kind in ("image", "audio", "video")} - {
        "image/svg+xml"
    }


@pytest.mark.parametrize(
    ("filename", "seen"),
    [
        ("a.png", "a.png"),
        ("A.PNG", "A.PNG"),
        ("invoice.exe", "invoice.exe.png"),
        ("photo", "photo.png"),
        ("photo.pdf", "photo.png"),
        (".pdf", ".pdf.png"),
        (None, "image.png"),
    ],
)
def test_a_download_ends_as_its_type_says(filename: str | None, seen: str) -> None:
    assert presentation("image/png", filename).filename == seen


def test_a_recording_that_was_made_as_one_is_a_voice_message() -> None:
    assert kind_of("voice", "audio/webm") == "voice"
    assert kind_of("attachment", "audio/webm") == "audio"
    assert kind_of("attachment", None) == kind_of("attachment", "x/y") == "file"
