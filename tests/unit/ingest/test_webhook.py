import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from services.ingest.channels import webhook
from services.ingest.channels.kind import Refused, Unverified
from services.ingest.core import (
    AttachmentInput,
    ContactInput,
    DeleteInput,
    EditInput,
    Input,
    MessageInput,
    OurMessage,
    ProviderMessage,
    ReceiptInput,
)
from shared.contracts.inbound import Sender
from tests.unit.ingest.samples import WHEN, body, message, receipt

OURS = "2f0e7b5c-3c5e-4a51-9a13-8f2f0a6f1a77-4"
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"t" * 32).decode()


def refusal(raw: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        webhook.parse(raw)
    return caught.value


def only_fault(event: Any) -> tuple[str, int | None, str]:
    """-> (code, index, field) of the one fault of a body whose second event is this one."""
    [fault] = refusal(body(message(), event)).faults
    return fault.code, fault.index, fault.field


def test_every_kind_of_event_is_read_in_order() -> None:
    inputs = webhook.parse(
        body(
            message(attachments=[{"kind": "image", "url": "https://files.example/a.png"}], reply_to="m0"),
            receipt(message_id=OURS),
            receipt(provider_message_id="p1", to={"id": "ada"}, status="failed", error="blocked"),
            {"type": "contact", "from": {"id": "ada", "first_name": "Ada", "country": "GB"}},
            {"type": "edit", "id": "m1", "from": {"id": "ada"}, "text": "hello!"},
            {"type": "delete", "id": "m1", "from": {"id": "ada"}},
        )
    )
    assert inputs == [
        MessageInput(
            "m1",
            Sender(id="ada"),
            WHEN,
            "hello",
            (AttachmentInput("image", "https://files.example/a.png"),),
            "m0",
        ),
        ReceiptInput(OurMessage(OURS), "delivered", WHEN),
        ReceiptInput(ProviderMessage("p1", "ada"), "failed", WHEN, "blocked"),
        ContactInput(Sender(id="ada", first_name="Ada", country="GB")),
        EditInput("m1", "ada", "hello!"),
        DeleteInput("m1", "ada"),
    ]


def test_an_adapter_may_be_newer_than_we_are() -> None:
    inputs = webhook.parse(body({**message(), "mood": "good", "from": {"id": "ada", "shoe_size": 38}}))
    assert inputs == webhook.parse(body(message()))


def test_no_events_are_fine() -> None:
    assert webhook.parse(body()) == []


@pytest.mark.parametrize(
    ("given_time", "ours"),
    [
        ("2026-01-31T13:00:00+01:00", WHEN),
        ("2026-01-31T12:00:00Z", WHEN),
        ("2026-01-31 12:00:00.0004z", WHEN),
    ],
)
def test_times_are_kept_in_our_form(given_time: str, ours: str) -> None:
    [item] = webhook.parse(body(message(occurred_at=given_time)))
    assert isinstance(item, MessageInput) and item.occurred_at == ours


def test_text_may_be_empty_where_a_file_speaks() -> None:
    files = [{"kind": "voice", "url": "https://files.example/a.ogg"}]
    [item] = webhook.parse(body(message(text="", attachments=files)))
    assert isinstance(item, MessageInput) and item.text is None and len(item.attachments) == 1


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (message(id=None), "id"),
        (message(id=""), "id"),
        (message(id=7), "id"),
        (message(id="x" * 513), "id"),
        (message(**{"from": {}}), "from.id"),
        (message(**{"from": None}), "from"),
        (message(**{"from": {"id": "ada", "name": 5}}), "from.name"),
        (message(occurred_at=None), "occurred_at"),
        (message(occurred_at="yesterday"), "occurred_at"),
        (message(occurred_at="0001-01-01T00:00:00+14:00"), "occurred_at"),
        (message(occurred_at=1738324800), "occurred_at"),
        (message(text=None), ""),
        (message(text="", attachments=[]), ""),
        (message(text="a\0b"), "text"),
        (message(attachments=[{"kind": "image", "url": "file:///etc/passwd"}]), "attachments.0.url"),
        (message(attachments=[{"kind": "hologram", "url": "https://files.example"}]), "attachments.0.kind"),
        (message(attachments=5), "attachments"),
        (receipt(), ""),
        (receipt(provider_message_id="p1"), ""),
        (receipt(message_id="42"), "message_id"),
        (receipt(message_id=OURS, status="queued"), "status"),
        ({"type": "contact"}, "from"),
        ({"type": "delete", "id": "m1"}, "from"),
        ({"type": "wave"}, ""),
        ({}, ""),
        (5, ""),
        (None, ""),
        ([], ""),
    ],
)
def test_a_malformed_event_is_named_by_index_and_field(event: Any, field: str) -> None:
    assert only_fault(event) == ("MALFORMED", 1, field)


def test_a_lone_surrogate_is_malformed() -> None:
    assert refusal(b'{"events":[{"type":"delete","id":"\\ud800","from":{"id":"a"}}]}').status == 400


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (message(text="ä" * 16_385), "text"),
        (message(attachments=[{"kind": "file", "url": "https://files.example"}] * 11), "attachments"),
        (message(padding="x" * 256 * 1024), ""),
    ],
)
def test_what_is_above_a_limit_is_named(event: Any, field: str) -> None:
    assert only_fault(event) == ("TOO_LARGE", 1, field)
    assert refusal(body(event)).code == "TOO_LARGE"


def test_what_is_just_within_the_limits_is_taken() -> None:
    files = [{"kind": "file", "url": "https://files.example"}] * 10
    [item] = webhook.parse(body(message(text="ä" * 16_384, attachments=files, padding="x" * 100_000)))
    assert isinstance(item, MessageInput) and len(item.attachments) == 10
    assert len(webhook.parse(body(*[message()] * 1000))) == 1000


def test_every_bad_event_is_named() -> None:
    refused = refusal(body(message(id=None), message(), message(text="x" * 16_385)))
    assert [(fault.index, fault.code) for fault in refused.faults] == [(0, "MALFORMED"), (2, "TOO_LARGE")]
    assert (refused.status, refused.code) == (400, "MALFORMED")


@pytest.mark.parametrize("event", [message(), message(id=None), 5])
def test_more_than_a_thousand_events_are_too_many_whatever_they_are(event: Any) -> None:
    assert (refusal(body(*[event] * 1001)).status, refusal(body(*[event] * 1001)).code) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 500_000,
        b'{"events":' * 50_000,
        b'{"events":[{"type":"contact","from":{"id":"x"},"y":' + b"[" * 500_000,
        b'{"events":[' + b",".join([b"5"] * 500_000) + b"]}",
        body(message(attachments=[5] * 300_000)),
        body({"x" * 500_000: ["\0"] * 50_000, **message()}),
    ],
)
def test_a_body_made_to_hurt_is_refused_soon_and_briefly(raw: bytes) -> None:
    began = time.process_time()
    refused = refusal(raw)
    assert time.process_time() - began < 1
    assert refused.status in (400, 413)
    assert sum(len(fault.detail) + len(fault.field) for fault in refused.faults) < 10_000


@example(b"")
@example(b"null")
@example(b"{}")
@example(b'{"events":{}}')
@example(b'{"events":[]} x')
@example(b"\xff\xfe\x00")
@example(b"\xef\xbb\xbf{}")
@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_that_are_no_body_of_ours_are_malformed(raw: bytes) -> None:
    refused = refusal(raw)
    assert (refused.status, refused.code) == (400, "MALFORMED")
    assert all(fault.index is None for fault in refused.faults)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELD = st.sampled_from(
    ["type", "id", "from", "occurred_at", "text", "attachments", "reply_to", "message_id", "to", "status", "error"]
)


@given(
    st.sampled_from([message(), receipt(message_id=OURS), {"type": "edit", "id": "1", "from": {"id": "a"}}]),
    FIELD,
    JSON,
)
def test_any_value_in_any_field_is_taken_or_refused_with_its_index(
    event: dict[str, Any], field: str, value: Any
) -> None:
    raw = json.dumps({"events": [message(), {**event, field: value}]}).encode("utf-8", "surrogatepass")
    answer = outcome(raw)
    if isinstance(answer, Refused):
        assert answer.status == 400 and answer.code in ("MALFORMED", "TOO_LARGE")
        assert {fault.index for fault in answer.faults} <= {1, None}
    else:
        assert len(answer) == 2


def outcome(raw: bytes) -> list[Input] | Refused:
    try:
        return webhook.parse(raw)
    except Refused as refused:
        return refused


def signed(raw: bytes, secret: str = SECRET, ago: timedelta = timedelta(0), ident: str = "msg_1") -> dict[str, str]:
    at = datetime.now(UTC) - ago
    return {
        "webhook-id": ident,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(ident, at, raw.decode()),
    }


def test_a_good_signature_gives_the_request_its_name() -> None:
    assert webhook.verify([SECRET], signed(b"{}"), b"{}") == "msg_1"


def test_any_of_the_valid_secrets_will_do() -> None:
    assert webhook.verify([OTHER, SECRET], signed(b"{}"), b"{}") == "msg_1"


def test_the_right_signature_may_stand_among_others() -> None:
    headers = signed(b"{}")
    headers["webhook-signature"] = "v1a,abc,def nonsense v1,=== " + headers["webhook-signature"]
    assert webhook.verify([SECRET], headers, b"{}") == "msg_1"


@pytest.mark.parametrize(
    ("headers", "raw"),
    [
        (lambda: signed(b"{}", OTHER), b"{}"),
        (lambda: signed(b"{}"), b"{} "),
        (lambda: signed(b"{}", ago=timedelta(minutes=6)), b"{}"),
        (lambda: signed(b"{}", ago=timedelta(minutes=-6)), b"{}"),
        (lambda: {**signed(b"{}"), "webhook-id": "msg_2"}, b"{}"),
        (lambda: {**signed(b"{}"), "webhook-signature": ""}, b"{}"),
        (lambda: {**signed(b"{}"), "webhook-timestamp": "nan"}, b"{}"),
        (lambda: signed(b"{}", ident="x" * 256), b"{}"),
        (dict, b"{}"),
    ],
)
def test_what_does_not_prove_the_sender_is_unverified(headers: Callable[[], dict[str, str]], raw: bytes) -> None:
    with pytest.raises(Unverified):
        webhook.verify([SECRET], headers(), raw)


@pytest.mark.parametrize("odd", ["{}.5", "{}.0", "+{}", " {}", "{} ", "{}e0", "0{}", "{:_}"])
def test_a_timestamp_is_whole_seconds_in_decimal_digits(odd: str) -> None:
    headers = signed(b"{}")
    headers["webhook-timestamp"] = odd.format(int(headers["webhook-timestamp"]))
    with pytest.raises(Unverified):
        webhook.verify([SECRET], headers, b"{}")


@pytest.mark.parametrize(
    ("header", "odd", "why"),
    [
        ("webhook-id", "", "webhook-id is missing"),
        ("webhook-timestamp", "", "webhook-timestamp is no whole number"),
        ("webhook-signature", "", "webhook-signature has no `v1,`"),
        ("webhook-signature", "v1,AAAA", "webhook-signature has no `v1,`"),
        ("webhook-signature", "v1," + "A" * 43 + "=", "No matching signature"),
    ],
)
def test_it_is_said_which_header_is_at_fault(header: str, odd: str, why: str) -> None:
    with pytest.raises(Unverified, match=why):
        webhook.verify([SECRET], {**signed(b"{}"), header: odd}, b"{}")


def test_without_a_valid_secret_nobody_is_verified() -> None:
    with pytest.raises(Unverified):
        webhook.verify([], signed(b"{}"), b"{}")


@given(
    st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()), st.binary()
)
def test_any_headers_and_body_are_unverified_or_malformed(headers: dict[str, str], raw: bytes) -> None:
    with pytest.raises((Unverified, Refused)):
        webhook.verify([SECRET], headers, raw)
