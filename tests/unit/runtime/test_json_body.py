"""A body is a JSON value of bounded depth, or a JSONDecodeError; nothing else can come of any bytes."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from shared.runtime.json_body import MAX_DEPTH, limited_body, parse_json
from shared.runtime.problems import Problem

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


def sending(chunks: list[bytes]) -> tuple[Request, list[bytes]]:
    """A request that sends these chunks, and what of them has not been read yet."""
    left = list(chunks)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return Request({"type": "http", "headers": []}, receive), left


async def test_what_comes_after_the_limit_is_read_before_it_is_refused() -> None:
    request, left = sending([b"x" * 600] * 10)
    with pytest.raises(Problem):
        await limited_body(request, 1000)
    assert not left


async def test_a_sender_that_goes_on_and_on_is_not_listened_to_for_ever() -> None:
    request, left = sending([b"x" * 1024 * 1024] * 100)
    with pytest.raises(Problem):
        await limited_body(request, 1000)
    assert len(left) > 80
