import json
from collections.abc import Mapping

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from services.dispatch.channels.webhook import Webhook
from services.dispatch.core.delivery import Delivery
from services.dispatch.core.outcome import Lost, Outcome, Reply, Retry, Sent
from services.dispatch.outside import SignedLinks
from shared.contracts.commands import SentAttachment
from shared.runtime.clock import SystemClock
from shared.runtime.outbound_http import NotBegun, Unanswered
from shared.runtime.s3 import Shown
from tests.unit.dispatch.builders import SECRET, channel, claim, delivery, message


class RecordingHttp:
    """Answers as told, and keeps the last request."""

    def __init__(self, answer: Reply | Exception | None = None) -> None:
        self._answer = answer or Reply(200, b"{}")
        self.url, self.headers, self.body = "", dict[str, str](), b""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        self.url, self.headers, self.body = url, dict(headers), body
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class FakeSigner:
    def presign_get(self, key: str, lasts: object, shown: Shown) -> str:
        return f"https://files.test/{key}?as={shown.filename}"


def attempted(**changes: object) -> Delivery:
    return delivery(message(**changes)).claimed(claim())  # type: ignore[arg-type]


async def outcome_of(http: RecordingHttp, head: Delivery | None = None, **channel_changes: object) -> Outcome:
    kind = Webhook(SignedLinks(FakeSigner()), SystemClock())
    return await kind.deliver(head or attempted(), channel(**channel_changes), http)


async def test_the_body_is_the_documented_one() -> None:
    http = RecordingHttp()
    assert await outcome_of(http) == Sent()
    assert http.url == "http://adapter.test/in"
    assert json.loads(http.body) == {
        "type": "message",
        "id": "36865d94-dda1-53bd-b0bb-463852e73269-7",
        "conversation_id": "36865d94-dda1-53bd-b0bb-463852e73269",
        "to": {"id": "4477009001"},
        "text": "message 7",
        "attachments": [],
        "author": {"kind": "agent", "name": "Grace Hopper"},
        "attempt": 1,
    }


async def test_it_is_signed_for_the_message_id_and_text_goes_out_unescaped() -> None:
    http = RecordingHttp()
    await outcome_of(http, attempted(text="😊 مرحبا"))
    assert http.headers["webhook-id"] == "36865d94-dda1-53bd-b0bb-463852e73269-7"
    Verifier(SECRET).verify(http.body.decode(), http.headers)
    assert "😊 مرحبا".encode() in http.body


async def test_a_message_without_text_has_no_text() -> None:
    http = RecordingHttp()
    await outcome_of(http, attempted(text=None))
    assert "text" not in json.loads(http.body)


@pytest.mark.parametrize("duration", [None, 3.5])
async def test_attachments_are_links_with_their_description(duration: float | None) -> None:
    http = RecordingHttp()
    media = "a0c4e42c-45fc-5bfa-bdab-fb8e3df97082"
    attachment = SentAttachment(
        media_id=media,
        kind="voice",
        content_type="audio/ogg",
        filename="v.ogg",
        size=9,
        duration_s=duration,
        status="ready",
        objects={"original": "acme/2b3c"},
    )
    await outcome_of(http, attempted(attachments=(attachment,)))
    (shown,) = json.loads(http.body)["attachments"]
    assert shown.pop("duration_s", None) == duration
    assert shown == {
        "kind": "voice",
        "url": "https://files.test/acme/2b3c?as=v.ogg",
        "content_type": "audio/ogg",
        "filename": "v.ogg",
        "size": 9,
    }


@pytest.mark.parametrize(
    ("able", "kind", "url", "content_type", "size"),
    [
        ({}, "voice", "acme/ogg?as=voice.ogg", "audio/ogg; codecs=opus", 900),
        ({"voice": False}, "audio", "acme/m4a?as=voice.m4a", "audio/mp4", 2000),
        ({"media": ["file"]}, "file", "acme/m4a?as=voice.m4a", "audio/mp4", 2000),
        ({"media": ["image"]}, "voice", "acme/ogg?as=voice.ogg", "audio/ogg; codecs=opus", 900),
    ],
)
async def test_a_voice_message_goes_as_what_its_channel_carries(
    able: dict[str, object], kind: str, url: str, content_type: str, size: int
) -> None:
    http = RecordingHttp()
    recording = SentAttachment(
        media_id="a0c4e42c-45fc-5bfa-bdab-fb8e3df97082",
        kind="voice",
        content_type="audio/ogg; codecs=opus",
        filename="voice.ogg",
        size=900,
        duration_s=2.0,
        status="ready",
        objects={"ogg": "acme/ogg", "m4a": "acme/m4a"},
        sizes={"ogg": 900, "m4a": 2000},
    )
    settings = {"outbound_url": "http://adapter.test/in", "capabilities": able}
    await outcome_of(http, attempted(attachments=(recording,)), settings=settings)
    (shown,) = json.loads(http.body)["attachments"]
    assert (shown["kind"], shown["url"]) == (kind, f"https://files.test/{url}")
    assert (shown["content_type"], shown["size"]) == (content_type, size)


@pytest.mark.parametrize("settings", [{}, {"outbound_url": None}, {"outbound_url": ""}, {"outbound_url": 7}])
async def test_without_an_address_it_waits_for_one(settings: dict[str, object]) -> None:
    http = RecordingHttp()
    assert isinstance(await outcome_of(http, settings=settings), Retry)
    assert not http.url


async def test_without_a_secret_nothing_goes_out_unsigned() -> None:
    http = RecordingHttp()
    assert isinstance(await outcome_of(http, secret=None), Retry)
    assert not http.url


async def test_not_begun_is_surely_not_sent_and_unanswered_may_be() -> None:
    assert await outcome_of(RecordingHttp(NotBegun("refused"))) == Retry("refused")
    assert await outcome_of(RecordingHttp(Unanswered("timed out"))) == Lost("timed out")


async def test_the_attempt_is_counted_and_the_webhook_id_stays() -> None:
    http = RecordingHttp()
    await outcome_of(http, delivery(attempt=4).claimed(claim()))
    assert json.loads(http.body)["attempt"] == 5
    assert http.headers["webhook-id"].endswith("-7")
