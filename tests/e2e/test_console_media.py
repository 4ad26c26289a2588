"""Voice messages and files in the agents' page: a real browser, its fake microphone, a whole running system."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.testing.adapter import Adapter, Seen
from shared.testing.api import Api, Channel, said, someone
from shared.testing.browser import Page, chromium
from shared.testing.eventually import eventually
from shared.testing.file_source import FileSource, gives, says
from shared.testing.follower import Follower
from shared.testing.recordings import heard, recording
from shared.testing.system import System
from shared.testing.uploads import fetch
from tests.e2e.console import opened, shows, signed_in, told
from tests.unit.media.files import png

pytestmark = pytest.mark.skipif(chromium() is None, reason="no chromium on this machine: apt-get install chromium")

MICROPHONE = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)
SECONDS_HEARD = "document.querySelector('{}').currentTime > 0"


@pytest_asyncio.fixture
async def console(system: System) -> AsyncIterator[Page]:
    async with signed_in(system, *MICROPHONE) as tab:
        yield tab


@pytest_asyncio.fixture
async def conversation(console: Page, channel: Channel, stream: Follower) -> str:
    """A customer's, open in the page."""
    who = someone()
    await channel.say(who, "hi")
    found = await stream.conversation_of(who)
    await opened(console, found)
    return found


async def recorded(console: Page, seconds: float = 1.5) -> float:
    """A draft that is ready; -> seconds in which there was something to record."""
    begun = time.monotonic()
    await console.click("#record")
    await console.until("!document.querySelector('#recording').hidden", "it records")
    words = "document.querySelector('#recording-time').textContent"
    await console.until(f"{words} >= '0:0{int(seconds)}'", "time goes by")
    assert await console.run("document.querySelector('#send').disabled")
    await console.click("#recording-stop")
    lasted = time.monotonic() - begun
    await console.until("document.querySelector('#tray .chip.ready .player')", "the draft is ready")
    return lasted


async def drafts(api: Api, console: Page) -> list[dict[str, Any]]:
    """The media of the chips, as the server knows them."""
    idents = await console.run(
        "import('/console/js/state.js').then(({ state }) => [...state.files.values()].flat().map((one) => one.media))"
    )
    return [await api.ok("GET", f"/v1/media/{ident}") for ident in idents]


def delivered(adapter: Adapter, conversation: str) -> list[Seen]:
    """To this conversation's customer: an earlier test's delivery may still be on its way to the same adapter."""
    return [seen for seen in adapter.seen if seen.id.startswith(conversation)]


async def test_an_agent_records_listens_and_sends(
    console: Page, agent: Api, adapter: Adapter, conversation: str
) -> None:
    lasted = await recorded(console)
    (draft,) = await drafts(agent, console)
    assert (draft["state"], draft["purpose"]) == ("ready", "voice")
    assert 0.2 < draft["duration_s"] < lasted + 0.5, "a busy machine's microphone has gaps"
    assert not delivered(adapter, conversation)
    await console.click("#tray .play")
    await console.until(SECONDS_HEARD.format("#tray audio"), "it is heard")
    await console.until("!document.querySelector('#send').disabled", "it can be sent")
    await console.click("#send")
    await eventually(lambda: delivered(adapter, conversation), "the adapter has it")
    (item,) = delivered(adapter, conversation)[0].body["attachments"]
    assert (item["kind"], item["content_type"]) == ("voice", "audio/ogg; codecs=opus")
    seconds, channels = heard((await fetch(item["url"])).body, "ogg")[:2]
    assert (abs(seconds - draft["duration_s"]) < 0.1, channels) == (True, 1)
    await console.until("document.querySelector('#thread .ours.sent .player')", "it is in the thread, as it stays")
    await console.until("document.querySelectorAll('#tray .chip').length === 0", "the tray is empty")
    await console.click("#thread .ours .play")
    await console.until(SECONDS_HEARD.format("#thread .ours audio"), "it is heard in the thread, too")


async def test_a_recording_is_discarded(console: Page, agent: Api, conversation: str) -> None:
    await console.click("#record")
    await console.until("!document.querySelector('#recording').hidden", "it records")
    await console.click("#recording-discard")
    await console.until("document.querySelector('#recording').hidden", "it has stopped")
    assert await console.run("document.querySelectorAll('#tray .chip').length") == 0
    await recorded(console)
    (draft,) = await drafts(agent, console)
    await console.click("#tray .chip button.quiet")
    await console.until("document.querySelectorAll('#tray .chip').length === 0", "it is gone")

    async def gone() -> bool:
        return (await agent.call("GET", f"/v1/media/{draft['id']}")).status == 404

    await eventually(gone, "on the server, too")


async def test_a_draft_waits_in_its_conversation(
    console: Page, channel: Channel, stream: Follower, conversation: str
) -> None:
    who = someone()
    await channel.say(who, "another")
    other = await stream.conversation_of(who)
    await console.click("#record")
    await console.until("document.querySelector('#recording-time').textContent >= '0:01'", "time goes by")
    await opened(console, other)
    await console.until("document.querySelector('#recording').hidden", "recording ends")
    assert await console.run("document.querySelectorAll('#tray .chip').length") == 0
    await opened(console, conversation)
    await console.until("document.querySelector('#tray .chip.ready .player')", "what was said is there")


async def test_a_picture_is_attached_and_shown(
    console: Page, adapter: Adapter, conversation: str, tmp_path: Path
) -> None:
    (tmp_path / "photo.png").write_bytes(png(64))
    await console.choose_files("#attach-files", tmp_path / "photo.png")
    await shows(console, "#tray .chip.ready", "photo.png")
    await console.type("#text", "look")
    await console.click("#send")
    await eventually(lambda: delivered(adapter, conversation), "the adapter has it")
    (item,) = delivered(adapter, conversation)[0].body["attachments"]
    assert (item["kind"], item["filename"], (await fetch(item["url"])).body) == ("image", "photo.png", png(64))
    await console.until("document.querySelector('#thread .ours .thumb')?.naturalWidth === 64", "the picture is shown")
    await console.click("#thread .ours .picture")
    await console.until("document.querySelector('#picture[open] img')?.naturalWidth === 64", "and the whole of it")


async def test_what_is_refused_is_said_and_nothing_written_is_lost(
    console: Page, conversation: str, tmp_path: Path
) -> None:
    (tmp_path / "photo.png").write_bytes(b"these are no pixels")
    await console.type("#text", "see above")
    await console.choose_files("#attach-files", tmp_path / "photo.png")
    await shows(console, "#tray .chip.rejected", "not what it claims to be")
    assert await console.run("document.querySelector('#send').disabled")
    await shows(console, "#composer-hint", "Remove what was refused")
    await console.click("#tray .chip button.quiet")
    await console.until("!document.querySelector('#send').disabled", "it can be sent without")
    assert await console.run("document.querySelector('#text').value") == "see above"


async def test_what_a_channel_does_not_carry_comes_back_into_the_box(
    console: Page, owner: Api, channel: Channel, conversation: str
) -> None:
    path = f"/v1/channels/{channel.ident}"

    async def takes_effect(status: int) -> None:
        """The gateway hears of a channel a moment later: until then long texts are as before."""

        async def has_heard() -> bool:
            return (await owner.reply(conversation, "longer than ten")).status == status

        await eventually(has_heard, f"the gateway answers {status}", every=0.2)

    await owner.ok("PATCH", path, {"settings": {"capabilities": {"media": ["image"], "text_limit": 10}}})
    try:
        await takes_effect(422)
        await recorded(console)
        await console.type("#text", "listen")
        await console.click("#send")
        await told(console, "This channel carries no voice.")
        assert await console.run("document.querySelector('#text').value") == "listen"
        await console.until("document.querySelector('#tray .chip.ready .player')", "the recording is there")
    finally:
        await owner.ok("PATCH", path, {"settings": {"capabilities": None}})
    await takes_effect(201)


async def test_files_of_customers_appear_when_they_are_here(console: Page, channel: Channel, stream: Follower) -> None:
    go = asyncio.Event()
    picture, voice = png(64), recording("ogg", "libopus", 2.0)

    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        answers = {"/a.png": gives(picture, "image/png"), "/v.ogg": gives(voice, "audio/ogg")}
        await answers.get(path, says("HTTP/1.1 404 Gone\ncontent-length: 0"))(path, writer)

    async with FileSource() as source:
        source.answer = answer
        who = someone()
        files = [
            {"kind": "image", "url": source.url("/a.png"), "content_type": "image/png", "filename": "a.png"},
            {"kind": "voice", "url": source.url("/v.ogg"), "content_type": "audio/ogg"},
            {"kind": "file", "url": source.url("/gone.pdf"), "filename": "gone.pdf"},
        ]
        assert (await channel.post([said(who, "three files") | {"attachments": files}])).status == 202
        await opened(console, await stream.conversation_of(who))
        await shows(console, "#thread .file.pending", "a.png is on its way")
        assert await console.run("document.querySelectorAll('#thread .file.pending').length") == 3
        go.set()
        await console.until("document.querySelector('#thread .theirs .thumb')?.naturalWidth === 64", "the picture")
        await console.until("document.querySelector('#thread .theirs .player')", "the voice message")
        await shows(console, "#thread .file.refused", "gone.pdf could not be taken: the channel would not give it out")
        await console.click("#thread .theirs .play")  # when all is there: each file that comes draws the message anew
        await console.until(SECONDS_HEARD.format("#thread .theirs audio"), "the voice is heard")
    await console.call("Page.reload")
    await console.until("document.querySelector('.is-live')", "live again")
    await console.until("document.querySelector('#thread .theirs .thumb')?.naturalWidth === 64", "as the API says, too")
    await console.until("!document.querySelector('#thread .file.pending')", "nothing is on its way")
