import json
from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatch.core.delivery import End
from services.dispatch.core.outcome import Failed, Reply, Retry, Sent, judged, provider_id, shown
from shared.contracts.retry_after import wait_s
from tests.unit.dispatch.builders import NOW


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_sent(status: int) -> None:
    assert judged(Reply(status, b""), NOW) == Sent()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422, 499])
def test_a_4xx_is_refused_for_good(status: int) -> None:
    assert judged(Reply(status, b"no such user\n"), NOW) == Failed("ADAPTER_REFUSED", f"HTTP {status} no such user")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599, 301, 302, 307, 308, 304])
def test_what_may_pass_and_redirects_are_tried_again(status: int) -> None:
    assert judged(Reply(status, b""), NOW) == Retry(f"HTTP {status}")


@pytest.mark.parametrize("status", [429, 503])
def test_an_adapter_may_say_when_it_wants_to_be_tried_again(status: int) -> None:
    assert judged(Reply(status, b"", "30"), NOW) == Retry(f"HTTP {status}", 30.0)


def test_retry_after_means_nothing_on_other_answers() -> None:
    assert judged(Reply(500, b"", "30"), NOW) == Retry("HTTP 500")


def test_retry_after_may_be_a_date() -> None:
    assert wait_s(format_datetime(NOW + timedelta(seconds=90), usegmt=True), NOW) == 90.0
    assert wait_s(format_datetime(NOW - timedelta(seconds=90), usegmt=True), NOW) == 0.0


@given(st.text())
def test_any_retry_after_is_seconds_or_nothing(header: str) -> None:
    assert (found := wait_s(header, NOW)) is None or found >= 0


def test_a_provider_message_id_is_taken_from_a_json_object() -> None:
    assert provider_id(json.dumps({"provider_message_id": "wamid.1"}).encode()) == "wamid.1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>ok</html>",
        b"\xff\xfe",
        b"[" * 60_000,
        b"[]",
        b"null",
        b'"provider_message_id"',
        b'{"provider_message_id": 7}',
        b'{"provider_message_id": ""}',
        b'{"provider_message_id": null}',
        b'{"provider_message_id": ["x"]}',
        b'{"provider_message_id": "a\\nb"}',
        json.dumps({"provider_message_id": "x" * 513}).encode(),
    ],
)
def test_rubbish_in_a_2xx_is_sent_without_an_id(body: bytes) -> None:
    assert judged(Reply(200, body), NOW) == Sent(None)


@given(st.binary(max_size=300), st.integers(100, 599), st.none() | st.text(max_size=40))
def test_whatever_an_adapter_answers_there_is_an_outcome(body: bytes, status: int, header: str | None) -> None:
    assert isinstance(judged(Reply(status, body, header), NOW), Sent | Failed | Retry)


@given(st.binary(max_size=5000))
def test_what_is_shown_of_an_answer_is_one_short_line(body: bytes) -> None:
    text = shown(body)
    assert len(text) <= 200 and (text.isprintable() or not text)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("BOT_SILENCED", "silenced"),
        ("CANCELLED", "cancelled"),
        ("CONTACT_ERASED", "erased"),
        ("ADAPTER_REFUSED: HTTP 400", "failed"),
        ("DELIVERY_EXPIRED", "failed"),
        (None, "failed"),
    ],
)
def test_what_was_not_to_be_sent_is_counted_apart_from_what_failed(error: str | None, outcome: str) -> None:
    assert End("failed", NOW, error=error).outcome == outcome
