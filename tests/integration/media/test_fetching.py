"""Files that channels hold for us, on real engines: what comes of each source, deaths and second owners."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.media.core import Media
from services.media.fetching import TRIED_FOR
from services.media.store import Change, Claim, Stale
from services.media.working import CLAIM_LASTS, MOST_FAULTS, Worker
from shared.contracts import topics
from shared.contracts.ids import object_key
from shared.contracts.inbound import InboundAttachment
from shared.contracts.outbound import FetchMedia
from shared.contracts.times import to_timestamp
from shared.contracts.wire import decode_event
from shared.runtime.outbound_download import DownloadBounds, Downloads
from shared.runtime.outbound_url import OutboundPolicy
from shared.testing.eventually import eventually
from shared.testing.file_source import Answers, FileSource, dripping, endless, gives, says
from shared.testing.recordings import heard, recording
from tests.integration.media.installation import Installation, Parts, unique
from tests.integration.media.records import CONVERSATION, MESSAGE, batch
from tests.unit.media.files import HTML, PDF, png, wav

PICTURE = png(64)
VOICE = recording("ogg", "libopus", 2.0)
PATIENT = DownloadBounds(connect_s=60.0, pause_s=60.0, deadline_s=120.0)
SOON = DownloadBounds(connect_s=60.0, pause_s=60.0, deadline_s=0.5)
GONE = says("HTTP/1.1 404 Not Found\ncontent-length: 0")
BUSY = says("HTTP/1.1 503 Busy\ncontent-length: 0")
META = says("HTTP/1.1 302 There\nlocation: http://169.254.169.254/latest/meta-data\ncontent-length: 0")


@pytest_asyncio.fixture
async def source() -> AsyncIterator[FileSource]:
    async with FileSource() as source:
        yield source


@asynccontextmanager
async def fetching(
    parts: Parts, at_once: int = 1, share: int = 1, bounds: DownloadBounds = PATIENT
) -> AsyncIterator[Worker]:
    downloads = Downloads(OutboundPolicy(allow_private=True), bounds)
    await downloads.start()
    worker = parts.fetcher(downloads, at_once, share)
    try:
        yield worker
    finally:
        await worker.stop()
        await downloads.stop()


async def noted(parts: Parts, workspace: str, url: str, kind: str = "image", **fields: Any) -> Media:
    """As it comes from routing."""
    file = {"media_id": str(uuid.uuid4()), "kind": kind, "url": url} | fields
    wanted = FetchMedia(
        workspace=workspace,
        channel_id="c",
        conversation_id=CONVERSATION,
        message_id=MESSAGE,
        attachment=InboundAttachment.model_validate(file),
        requested_at=to_timestamp(parts.clock.now()),
    )
    await parts.jobs().handle(batch(wanted, wanted))
    return await known(parts, workspace, wanted.attachment.media_id)


async def known(parts: Parts, workspace: str, ident: str) -> Media:
    found = await parts.store.find(workspace, ident)
    assert found is not None
    return found


async def fetched(parts: Parts, source: FileSource, answer: Answers, path: str = "/file", **fields: Any) -> Media:
    """After one try."""
    source.answer = answer
    media = await noted(parts, unique(), source.url(path), **fields)
    async with fetching(parts) as worker:
        assert await worker.work()
    return await known(parts, media.workspace, media.id)


async def kept(parts: Parts, media: Media, name: str) -> bytes:
    rendition = media.rendition(name)
    assert rendition is not None
    return await parts.objects.get(object_key(media.workspace, rendition.sha256), 1 << 24)


async def told(installation: Installation, workspace: str) -> list[tuple[str, dict[str, Any]]]:
    events = [decode_event(one.value or b"") for one in await installation.read(topics.WORKSPACE_EVENTS)]
    return [(event.type, event.data) for event in events if event.workspace == workspace]


async def test_a_picture_comes_with_a_small_one_and_its_message_hears_of_it(
    installation: Installation, parts: Parts, source: FileSource
) -> None:
    media = await fetched(parts, source, gives(PICTURE, "image/png"), content_type="image/png", filename="a.png")
    assert (media.state, media.content_type, media.size, media.filename) == (
        "ready",
        "image/png",
        len(PICTURE),
        "a.png",
    )
    assert await kept(parts, media, "original") == PICTURE
    assert (await kept(parts, media, "thumb"))[8:12] == b"WEBP"
    ((kind, data),) = await told(installation, media.workspace)
    assert kind == "relaydesk.media.ready.v1"
    assert (data["conversation_id"], data["message_id"], data["media_id"]) == (CONVERSATION, MESSAGE, media.id)
    assert (data["attachment"]["status"], data["attachment"]["kind"]) == ("ready", "image")


async def test_a_voice_message_gets_what_every_browser_plays_and_stays_as_it_came(
    parts: Parts, source: FileSource
) -> None:
    media = await fetched(parts, source, gives(VOICE, "audio/ogg"), kind="voice", content_type="audio/ogg; codecs=opus")
    assert (media.state, media.kind) == ("ready", "voice")
    assert [one.name for one in media.renditions] == ["ogg", "m4a", "original"]
    assert await kept(parts, media, "original") == VOICE
    for name, container in (("ogg", "ogg"), ("m4a", "mov")):
        seconds, channels = heard(await kept(parts, media, name), container)[:2]
        assert seconds == pytest.approx(2.0, abs=0.05) and channels == 1
    assert media.duration_s == pytest.approx(2.0, abs=0.05) and len(media.waveform or ()) == 64


async def test_a_customers_voice_message_longer_than_ours_may_be_is_kept_as_it_is(
    parts: Parts, source: FileSource
) -> None:
    long = recording("ogg", "libopus", 310.0, "silence")
    media = await fetched(parts, source, gives(long, "audio/ogg"), kind="voice")
    assert (media.state, media.kind, [one.name for one in media.renditions]) == ("ready", "voice", ["original"])
    assert await kept(parts, media, "original") == long


@pytest.mark.parametrize(
    ("kind", "declared", "content", "said", "path", "as_type"),
    [
        ("image", None, PICTURE, "image/png", "/f", "image/png"),
        ("image", "image/jpeg", PICTURE, "image/png", "/f", "image/png"),
        ("image", None, PICTURE, "application/octet-stream", "/f.png", "image/png"),
        ("file", None, PDF, "application/octet-stream", "/bill.PDF?x=1", "application/pdf"),
        ("file", "text/html", HTML, "text/html", "/f", "text/html"),
        ("voice", "video/mp4", recording("mp4", "aac", 1.0), "video/mp4", "/f", "audio/ogg; codecs=opus"),
        ("audio", "audio/x-wav", wav(), "binary", "/f", "audio/wav"),
    ],
)
async def test_a_file_is_what_it_turns_out_to_be(
    parts: Parts,
    source: FileSource,
    kind: str,
    declared: str | None,
    content: bytes,
    said: str,
    path: str,
    as_type: str,
) -> None:
    media = await fetched(parts, source, gives(content, said), path, kind=kind, content_type=declared)
    assert (media.state, media.code, media.content_type) == ("ready", None, as_type)


@pytest.mark.parametrize(
    ("answer", "kind", "declared", "code"),
    [
        (GONE, "image", None, "FETCH_REFUSED"),
        (says("HTTP/1.1 403 Forbidden\ncontent-length: 0"), "image", None, "FETCH_REFUSED"),
        (META, "image", "image/png", "URL_NOT_ALLOWED"),
        (endless, "image", "image/png", "FILE_TOO_LARGE"),
        (says(f"HTTP/1.1 200 OK\ncontent-length: {17 << 20}"), "voice", None, "FILE_TOO_LARGE"),
        (gives(b"", "image/png"), "image", "image/png", "UNREADABLE"),
        (gives(HTML, "text/html"), "image", None, "TYPE_NOT_ALLOWED"),
        (gives(HTML, "text/html"), "image", "image/png", "TYPE_MISMATCH"),
        (gives(b"\x7fELF" + bytes(99), "application/x-elf"), "file", None, "TYPE_NOT_ALLOWED"),
        (gives(PICTURE, "audio/ogg"), "voice", None, "UNREADABLE"),
        (gives(PICTURE[:200], "image/png"), "image", "image/png", "UNREADABLE"),
        (gives(png(40_000), "image/png"), "image", "image/png", "TOO_COMPLEX"),
        (gives(recording("ogg", "libopus", 1.0)[:40], "audio/ogg"), "voice", "audio/ogg", "UNREADABLE"),
    ],
)
async def test_what_is_no_file_of_ours_is_refused_with_its_reason(
    installation: Installation,
    parts: Parts,
    source: FileSource,
    answer: Answers,
    kind: str,
    declared: str | None,
    code: str,
) -> None:
    media = await fetched(parts, source, answer, kind=kind, content_type=declared)
    assert (media.state, media.code, media.renditions) == ("rejected", code, ())
    ((event, data),) = await told(installation, media.workspace)
    assert (event, data["code"], data["message_id"]) == ("relaydesk.media.rejected.v1", code, MESSAGE)
    async with fetching(parts) as worker:
        assert not await worker.work()


async def test_a_url_that_may_not_be_called_is_refused(parts: Parts) -> None:
    for url in ("http://169.254.169.254/latest/meta-data", "ftp://127.0.0.1/a", "http://[::ffff:169.254.169.254]/"):
        media = await noted(parts, unique(), url)
        async with fetching(parts) as worker:
            assert await worker.work()
        after = await known(parts, media.workspace, media.id)
        assert (after.state, after.code) == ("rejected", "URL_NOT_ALLOWED")


@pytest.mark.parametrize(
    ("stumble", "bounds"),
    [
        (BUSY, PATIENT),
        (dripping, SOON),
        (says("HTTP/1.1 200 OK\ncontent-length: 9", b"x"), PATIENT),
        (says("what?"), PATIENT),
    ],
)
async def test_a_source_that_stumbles_is_asked_again_and_again_until_it_answers(
    parts: Parts, source: FileSource, stumble: Answers, bounds: DownloadBounds
) -> None:
    source.answer = stumble
    media = await noted(parts, unique(), source.url())
    waits = []
    async with fetching(parts, bounds=bounds) as worker:
        for _ in range(3):
            assert await worker.work()
            assert not await worker.work()
            waits.append(await wait(parts, media))
            parts.clock.ahead += waits[-1]
    source.answer = gives(PICTURE, "image/png")
    async with fetching(parts) as worker:
        assert await worker.work()
    assert timedelta(seconds=0.5) <= waits[0] < waits[2] <= timedelta(seconds=4.1)
    assert (await known(parts, media.workspace, media.id)).state == "ready"
    assert len(source.asked) == 4 or bounds is SOON, "the time of a try may be over before its request is there"


async def wait(parts: Parts, media: Media) -> timedelta:
    row = await parts.mongo.db.media.find_one({"id": media.id})
    assert row is not None
    due: timedelta = row["job"]["due_at"] - parts.clock.now()
    return due + timedelta(milliseconds=5)


async def test_a_source_that_names_a_time_is_left_alone_until_then(parts: Parts, source: FileSource) -> None:
    source.answer = says("HTTP/1.1 429 Slowly\nretry-after: 600\ncontent-length: 0")
    media = await noted(parts, unique(), source.url())
    async with fetching(parts) as worker:
        assert await worker.work()
    assert timedelta(seconds=590) < await wait(parts, media) < timedelta(seconds=601)


async def test_after_a_day_of_trying_it_is_given_up(
    installation: Installation, parts: Parts, source: FileSource
) -> None:
    source.answer = BUSY
    media = await noted(parts, unique(), source.url())
    tries = 0
    async with fetching(parts) as worker:
        while (await known(parts, media.workspace, media.id)).state == "processing":
            assert await worker.work()
            tries += 1
            parts.clock.ahead += timedelta(minutes=15)
    after = await known(parts, media.workspace, media.id)
    assert (after.state, after.code, tries) == ("rejected", "FETCH_EXPIRED", TRIED_FOR // timedelta(minutes=15) + 1)
    assert [data["code"] for _, data in await told(installation, media.workspace)] == ["FETCH_EXPIRED"]


async def test_the_store_being_away_is_not_the_sources_fault(
    parts: Parts, source: FileSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.answer = gives(PICTURE, "image/png")
    media = await noted(parts, unique(), source.url())
    put = parts.objects.put_file

    async def away(*args: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(parts.objects, "put_file", away)
    async with fetching(parts) as worker:
        for _ in range(MOST_FAULTS + 1):
            parts.clock.ahead += timedelta(hours=6)
            assert await worker.work()
            assert (await known(parts, media.workspace, media.id)).state == "processing"
        monkeypatch.setattr(parts.objects, "put_file", put)
        parts.clock.ahead += timedelta(minutes=2)
        assert await worker.work()
    assert (await known(parts, media.workspace, media.id)).state == "ready"


async def test_who_dies_while_it_fetches_leaves_the_job_to_another(parts: Parts, source: FileSource) -> None:
    source.answer = gives(PICTURE, "image/png")
    media = await noted(parts, unique(), source.url())
    now = parts.clock.now()
    assert await parts.store.claim("fetches", Claim("dead", now, now + CLAIM_LASTS)) is not None
    async with fetching(parts) as worker:
        assert not await worker.work()
        parts.clock.ahead += CLAIM_LASTS
        assert await worker.work()
    after = await known(parts, media.workspace, media.id)
    assert after.state == "ready"
    with pytest.raises(Stale):
        await parts.store.change(media, after, Change("system", now, owner="dead"))


async def test_what_was_noted_before_anybody_fetched_is_fetched(parts: Parts, source: FileSource) -> None:
    source.answer = gives(PICTURE, "image/png")
    media = await noted(parts, unique(), source.url())
    await parts.mongo.db.media.update_one({"id": media.id}, {"$unset": {"job": ""}})
    async with fetching(parts) as worker:
        assert not await worker.work()
        await parts.store.start()
        parts.clock.ahead += timedelta(seconds=1)
        assert await worker.work()
    assert (await known(parts, media.workspace, media.id)).state == "ready"


async def test_a_workspace_whose_source_keeps_us_waiting_delays_nobody_else(parts: Parts, source: FileSource) -> None:
    slow, other = unique(), unique()

    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        await (dripping if path == "/slow" else gives(PICTURE, "image/png"))(path, writer)

    source.answer = answer
    for _ in range(4):
        await noted(parts, slow, source.url("/slow"))
    media = await noted(parts, other, source.url("/quick"))
    async with fetching(parts, at_once=2, share=1) as worker:
        await worker.start()

        async def arrived() -> bool:
            return (await known(parts, other, media.id)).state == "ready"

        await eventually(arrived, "the other workspace's file")
        assert sum("/slow" in head for head in source.asked) <= 1


async def test_a_stopped_worker_gives_its_job_back_at_once(parts: Parts, source: FileSource) -> None:
    source.answer = dripping
    media = await noted(parts, unique(), source.url())
    async with fetching(parts) as worker:
        await worker.start()
        await eventually(lambda: bool(source.asked), "the request")
        await worker.stop()
        source.answer = gives(PICTURE, "image/png")
        assert await worker.work()
    assert (await known(parts, media.workspace, media.id)).state == "ready"
