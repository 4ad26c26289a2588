"""A body is a JSON value of bounded depth, or a JSONDecodeError; nothing else can come of any bytes."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.json_body import MAX_DEPTH, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{not json",
        b"\xff\xfe\x00",
        b"\x00",
        b'{"text": "\\ud800"}',
        b'{"text": NaN}',
        b'{"text": "x"} {}',
        b"[" * 100_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
        b"[" * 2000 + b"]" * 2000,
    ],
)
def test_what_is_no_json_of_bounded_depth_is_refused(body: bytes) -> None:
    with pytest.raises(json.JSONDecodeError):
        parse_json(body)


def test_depth_up_to_the_limit_is_fine_however_wide() -> None:
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert len(parse_json(b"[" + b",".join([b"[[1]]"] * 500) + b"]")) == 500


@given(VALUES)
def test_every_json_value_survives(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_refused(body: bytes) -> None:
    with suppress(json.JSONDecodeError):
        parse_json(body)
