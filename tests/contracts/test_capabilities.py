"""What a channel carries: its kind's row, narrowed by its own settings and never widened."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.capabilities import ALL_KINDS, KINDS, Capabilities, Carried, capabilities_of, carried, fault
from shared.contracts.commands import SentAttachment
from shared.contracts.resources import AttachmentKind

VOICE = {"ogg": 900, "m4a": 2000}


def of(**said: Any) -> Capabilities:
    settings = {"capabilities": said}
    assert fault(settings) is None
    return capabilities_of("webhook", settings)


def sent(kind: AttachmentKind, content_type: str, **sizes: int) -> SentAttachment:
    return SentAttachment(
        media_id="a0c4e42c-45fc-5bfa-bdab-fb8e3df97082",
        kind=kind,
        content_type=content_type,
        filename=None,
        size=7,
        duration_s=None,
        status="ready",
        objects={name: f"acme/{name}" for name in sizes},
        sizes=sizes,
    )


def test_a_channel_that_says_nothing_is_as_its_kind() -> None:
    assert capabilities_of("webhook", {}) == KINDS["webhook"]
    assert capabilities_of("webhook", {"outbound_url": "https://a.example"}) == KINDS["webhook"]


def test_a_channel_narrows_what_it_names_and_nothing_else() -> None:
    narrow = of(text_limit=160, media=["image"], max_bytes={"image": 5_000_000}, content_types=["image/jpeg"])
    assert (narrow.text_limit, narrow.media, narrow.limit("image")) == (160, ("image",), 5_000_000)
    assert narrow.takes("image/jpg") and not narrow.takes("image/png")
    assert (narrow.limit("video"), narrow.idempotent) == (KINDS["webhook"].limit("video"), True)


def test_nothing_is_widened() -> None:
    assert of(max_bytes={"image": 1 << 39}).limit("image") == KINDS["webhook"].limit("image")


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"text_limit": 0}, "settings.capabilities.text_limit"),
        ({"text_limit": "many"}, "settings.capabilities.text_limit"),
        ({"text_limit": 99_999}, "settings.capabilities.text_limit"),
        ({"media": ["smell"]}, "settings.capabilities.media.0"),
        ({"media": "image"}, "settings.capabilities.media"),
        ({"max_bytes": {"image": -1}}, "settings.capabilities.max_bytes.image"),
        ({"content_types": ["image/tiff"]}, "settings.capabilities.content_types"),
        ({"idempotent": False}, "settings.capabilities.idempotent"),
        ("all", "settings.capabilities"),
        ([], "settings.capabilities"),
    ],
)
def test_what_cannot_be_is_named(said: Any, field: str) -> None:
    found = fault({"capabilities": said})
    assert found is not None and found[0] == field
    assert capabilities_of("webhook", {"capabilities": said}) == KINDS["webhook"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_stands_there_is_a_fault_or_capabilities(said: Any) -> None:
    fault({"capabilities": said})
    assert isinstance(capabilities_of("webhook", {"capabilities": said}), Capabilities)


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (of(), Carried("voice", "ogg", "audio/ogg; codecs=opus", 900)),
        (of(voice=False), Carried("audio", "m4a", "audio/mp4", 2000)),
        (of(media=["image", "audio"]), Carried("audio", "m4a", "audio/mp4", 2000)),
        (of(voice=False, media=["voice", "file"]), Carried("file", "m4a", "audio/mp4", 2000)),
        (of(media=["image", "video"]), None),
        (of(media=[]), None),
    ],
)
def test_a_voice_message_goes_as_such_or_as_a_file(channel: Capabilities, expected: Carried | None) -> None:
    assert carried(sent("voice", "audio/ogg; codecs=opus", **VOICE), channel) == expected


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_all_else_goes_as_it_is_or_not_at_all(kind: AttachmentKind) -> None:
    one = sent(kind, "application/pdf", original=9, thumb=3)
    assert carried(one, of(media=[kind])) == Carried(kind, "original", "application/pdf", 9)
    assert kind == "voice" or carried(one, of(media=[])) is None
