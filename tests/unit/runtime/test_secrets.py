"""A sealed secret opens only with our key and for its own channel; two keys are valid at once while they change."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared.runtime.secrets import SecretBox, Unsealable


def key(letter: str) -> SecretStr:
    return SecretStr(base64.b64encode(letter.encode() * 32).decode())


OLD, NEW = key("o"), key("n")


@given(st.binary(max_size=200), st.text(max_size=40))
def test_what_is_sealed_opens_again(plain: bytes, context: str) -> None:
    box = SecretBox(OLD)
    assert box.open(box.seal(plain, context), context) == plain


def test_the_same_secret_never_looks_the_same() -> None:
    box = SecretBox(OLD)
    assert box.seal(b"x", "c") != box.seal(b"x", "c")


def test_a_secret_of_one_channel_does_not_open_for_another() -> None:
    box = SecretBox(OLD)
    with pytest.raises(Unsealable):
        box.open(box.seal(b"x", "channel-1"), "channel-2")


def test_after_a_change_of_keys_the_old_secrets_still_open_and_new_ones_use_the_new_key() -> None:
    before, during, after = SecretBox(OLD), SecretBox(NEW, OLD), SecretBox(NEW)
    sealed = before.seal(b"x", "c")
    assert during.open(sealed, "c") == b"x"
    assert not sealed.startswith(f"{during.current}.")
    renewed = during.seal(b"x", "c")
    assert renewed.startswith(f"{during.current}.")
    assert after.open(renewed, "c") == b"x"
    with pytest.raises(Unsealable, match="not configured"):
        after.open(sealed, "c")


@given(st.text(max_size=60))
def test_any_other_text_is_refused_in_one_way(text: str) -> None:
    with pytest.raises(Unsealable):
        SecretBox(OLD).open(text, "c")


@given(st.integers(0, 200))
def test_no_changed_character_gets_through(position: int) -> None:
    box = SecretBox(OLD)
    sealed = box.seal(b"a secret", "c")
    at = position % len(sealed)
    changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
    try:
        assert box.open(changed, "c") == b"a secret"  # the last base64 digit has spare bits
        assert at == len(sealed.rstrip("=")) - 1
    except Unsealable:
        pass
