"""A log line is one JSON object, whoever wrote it, and never holds a message, a token or a signed URL."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pydantic
import pymongo.errors
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.runtime.logging import configure
from shared.runtime.redaction import HIDDEN, clean_text, error_text, redacted

SIGNED = "https://s3.example/acme/k?X-Amz-Algorithm=AWS4&X-Amz-Signature=0123abcd&x=1"
JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJtLTEifQ.c2lnbmF0dXJl"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers, root.level
    stream = io.StringIO()
    configure("info", stream)
    yield stream
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_carry_time_level_name_and_context(lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(service="routing", request_id="r-1"):
        structlog.stdlib.get_logger("relaydesk.x").info("batch done", records=3)
    (line,) = read(lines)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "batch done",
        "records": 3,
        "level": "info",
        "logger": "relaydesk.x",
        "service": "routing",
        "request_id": "r-1",
    }


def test_library_lines_have_the_same_form_and_the_same_redaction(lines: io.StringIO) -> None:
    logging.getLogger("aiokafka.conn").warning("sent %s to %s", f"Bearer {JWT}", "broker")
    logging.getLogger("uvicorn.access").info("GET /?ticket=abc")
    logging.getLogger("aiokafka.conn").info("chatter")
    (line,) = read(lines)
    assert line["event"] == f"sent Bearer {HIDDEN} to broker"
    assert (line["level"], line["logger"]) == ("warning", "aiokafka.conn")


def test_below_the_level_nothing_is_written(lines: io.StringIO) -> None:
    structlog.stdlib.get_logger("relaydesk.x").debug("detail")
    assert read(lines) == []


def test_an_error_shows_its_type_text_and_frames_but_no_values(lines: io.StringIO) -> None:
    private = "private words"

    def fails(text: str) -> None:
        raise RuntimeError("the store is broken")

    try:
        fails(private)
    except RuntimeError:
        structlog.stdlib.get_logger("relaydesk.x").exception("it failed")
    (line,) = read(lines)
    assert (line["error_type"], line["error"], line["level"]) == ("RuntimeError", "the store is broken", "error")
    assert line["frames"][-1].endswith(" fails")
    assert private not in lines.getvalue()


async def test_an_error_of_a_task_that_nobody_awaited_is_in_the_same_form(lines: io.StringIO) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "task failed", "exception": ValueError("why")})
    (line,) = read(lines)
    assert (line["error_type"], line["logger"]) == ("ValueError", "asyncio")


@pytest.mark.parametrize(
    "key",
    [
        "text",
        "message",
        "token",
        "access_token",
        "Authorization",
        "secret",
        "channel_secret",
        "signature",
        "password",
        "webhook_signature",
        "cookie",
        "s3_secret_key",
        "ticket",
        "email",
    ],
)
def test_hidden_keys_are_blank_at_every_depth(key: str) -> None:
    event = redacted({key: "private", "deep": [{"er": {key: {"still": "private"}}}]})
    assert "private" not in json.dumps(event)
    assert event[key] == HIDDEN


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"GET {SIGNED} failed", "0123abcd"),
        ("https://cdn.example/f?Expires=1&Signature=abcdef&Key-Pair-Id=K", "abcdef"),
        ("wss://host/v1/stream?ticket=t0psecret", "t0psecret"),
        (f"authorization: Bearer {JWT}", JWT),
        (f"token {JWT} expired", "c2lnbmF0dXJl"),
        ("secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("https://api.telegram.org/bot110201543:AAHdqTcvCH1vGWJxfSeof/getMe", "AAHdqTcvCH1vGWJxfSeof"),
        ("mongodb://relaydesk:passw0rd@db:27017/", "passw0rd"),
    ],
)  # fmt: skip
def test_secrets_inside_texts_are_cut_out(text: str, secret: str) -> None:
    assert secret not in clean_text(text)
    assert secret not in json.dumps(redacted({"event": text, "url": [text], "cause": ValueError(text)}))


def test_harmless_urls_and_texts_stay_readable() -> None:
    plain = "GET http://127.0.0.1:8080/v1/me?limit=5 -> 503"
    assert clean_text(plain) == plain


def test_a_structure_without_an_end_is_cut_off() -> None:
    endless: list[Any] = ["seen"]
    endless.append(endless)
    shown = json.dumps(redacted({"endless": endless}))
    assert 1 < shown.count("seen") < 10
    assert HIDDEN in shown


class Wish(pydantic.BaseModel):
    count: int


def test_errors_of_libraries_that_quote_the_refused_value_do_not() -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        Wish.model_validate({"count": "private words"})
    bulk = pymongo.errors.BulkWriteError({"writeErrors": [{"op": {"text": "private words"}}]})
    duplicate = pymongo.errors.DuplicateKeyError("dup key: { text: 'private words' }", 11000)
    for error in (refused.value, bulk, duplicate, KeyError("private words")):
        assert "private" not in error_text(error)
    assert error_text(refused.value) == "count: int_parsing"
    assert error_text(duplicate) == "code 11000"


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=10), st.recursive(st.none() | st.binary() | st.text() | st.floats(), st.lists)))
def test_no_event_makes_logging_fail(lines_event: dict[str, Any]) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers
    configure("info", stream)
    try:
        values = {key: value for key, value in lines_event.items() if key not in ("event", "exc_info", "stack_info")}
        structlog.stdlib.get_logger("relaydesk.x").info("happened", **values, odd="\ud800", thing=object())
    finally:
        root.handlers = before
        structlog.reset_defaults()
    assert json.loads(stream.getvalue())["event"] == "happened"


def test_a_log_call_outside_an_except_block_with_exc_info_says_nothing_more(lines: io.StringIO) -> None:
    assert sys.exception() is None
    structlog.stdlib.get_logger("relaydesk.x").error("odd", exc_info=True)
    assert "error_type" not in read(lines)[0]
