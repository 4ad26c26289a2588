"""A contact is erased on a running system: no word of theirs stays in any database, and nobody hears of them again."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from shared.testing.adapter import Adapter, Says
from shared.testing.api import Answer, Api, Channel, said
from shared.testing.browser import Page, chromium
from shared.testing.databases import keepers_of
from shared.testing.eventually import eventually
from shared.testing.file_source import FileSource, gives
from shared.testing.follower import Follower, kind
from shared.testing.system import System
from shared.testing.uploads import fetch
from tests.e2e.console import opened, shows, signed_in, told
from tests.unit.media.files import png

KEEPERS = {"routing", "gateway", "dispatch", "media", "snippets"}
PICTURE = png(64)


@dataclass
class Known:
    """Somebody of whom a word, which nobody else says, is all over the system."""

    word: str
    conversation: str
    contact: str


@pytest_asyncio.fixture
async def known(agent: Api, channel: Channel, stream: Follower, adapter: Adapter) -> AsyncIterator[Known]:
    """They wrote, with a file; an agent noted it and answered with a file; a second answer waits for the adapter."""
    word = f"rhubarb{uuid.uuid4().hex}"
    async with FileSource() as source:
        source.answer = gives(PICTURE, "image/png")
        file = {"kind": "image", "url": source.url(f"/{word}.png"), "filename": f"{word}.png"}
        message = said(word, f"my {word}", email=f"{word}@example.org", name=word) | {"attachments": [file]}
        assert (await channel.post([message])).status == 202
        conversation = await stream.conversation_of(word)
        await eventually(lambda: [e for e in stream.events if kind(e) == "media.ready"], "their file is there")
    await agent.ok("POST", f"/v1/conversations/{conversation}/notes", {"text": f"likes {word}"})
    file = {"media_id": await attached(agent, conversation, word)}
    answered = await agent.reply(conversation, f"fine {word}", attachments=[file])
    assert answered.status == 201
    await eventually(lambda: f"fine {word}" in adapter.texts(conversation), "the answer is delivered")
    adapter.behaviour = lambda seen: Says(503)
    assert (await agent.reply(conversation, f"later {word}")).status == 201
    await eventually(lambda: f"later {word}" in adapter.texts(conversation), "the second answer was tried")
    contact = (await agent.ok("GET", f"/v1/conversations/{conversation}"))["contact"]["id"]
    yield Known(word, conversation, contact)


async def attached(agent: Api, conversation: str, word: str) -> str:
    """A file of the agent's, ready to be sent; -> its media id."""
    wanted = {"purpose": "attachment", "content_type": "image/png", "size": len(PICTURE), "filename": f"{word}.png"}
    made = await agent.ok("POST", "/v1/media", wanted | {"conversation_id": conversation})
    assert (await fetch(made["upload"]["url"], "PUT", PICTURE)).status == 200
    await agent.ok("POST", f"/v1/media/{made['media_id']}/complete")

    async def ready() -> bool:
        return bool((await agent.ok("GET", f"/v1/media/{made['media_id']}"))["state"] == "ready")

    await eventually(ready, "the agent's file is ready")
    return str(made["media_id"])


def keeping(system: System, word: str) -> set[str]:
    return keepers_of(word, system.info["engines"]["mongo"])


async def erased(owner: Api, known: Known) -> Answer:
    return await owner.call("DELETE", f"/v1/contacts/{known.contact}", None, {"Idempotency-Key": uuid.uuid4().hex})


async def test_no_word_of_theirs_stays_in_any_database(system: System, owner: Api, known: Known) -> None:
    await eventually(lambda: keeping(system, known.word) == KEEPERS, "everybody has heard of them")
    assert (await erased(owner, known)).status == 204
    await eventually(lambda: not keeping(system, known.word), "the word is gone")


def tries(adapter: Adapter, known: Known) -> int:
    return sum(seen.text == f"later {known.word}" for seen in adapter.seen)


async def test_what_waited_is_not_delivered_and_who_writes_again_is_somebody_new(
    system: System, agent: Api, owner: Api, channel: Channel, stream: Follower, adapter: Adapter, known: Known
) -> None:
    assert (await erased(owner, known)).status == 204
    await eventually(lambda: not keeping(system, known.word), "everybody has heard of it")

    async def given_up() -> bool:
        failed = (await agent.ok("GET", f"/v1/deliveries?state=failed&channel_id={channel.ident}&limit=200"))["items"]
        return "CONTACT_ERASED" in {one["error"] for one in failed if one["conversation_id"] == known.conversation}

    await eventually(given_up, "what waited is given up")
    attempts = tries(adapter, known)
    adapter.behaviour = lambda seen: Says()

    await channel.say(known.word, "me again")
    await eventually(lambda: "me again" in stream.texts(known.conversation, "message.received"), "they are heard")
    assert (await agent.reply(known.conversation, "welcome")).status == 201
    await eventually(lambda: "welcome" in adapter.texts(known.conversation), "and answered")
    assert tries(adapter, known) == attempts
    contact = (await agent.ok("GET", f"/v1/conversations/{known.conversation}"))["contact"]
    assert (contact["id"], contact["name"], contact["email"]) == (known.contact, None, None)
    kinds = [kind(event) for event in await agent.thread(known.conversation)]
    assert kinds[:4] == ["contact.erased", "contact.created", "conversation.opened", "message.received"]


async def test_the_export_names_files_that_can_be_downloaded(owner: Api, known: Known) -> None:
    document = await owner.ok("GET", f"/v1/contacts/{known.contact}/export")
    assert [file["filename"] for file in document["files"]] == [f"{known.word}.png"] * 2
    for file in document["files"]:
        moved = await owner.call("GET", file["content"])
        assert moved.status == 302
        assert (await fetch(moved.headers["location"])).status == 200


@pytest.mark.skipif(chromium() is None, reason="no chromium on this machine: apt-get install chromium")
async def test_agents_pages_forget_a_contact_that_a_manager_erases(
    system: System, channel: Channel, known: Known
) -> None:
    async with signed_in(system) as ada, signed_in(system, who="manager") as marco:
        await opened(ada, known.conversation)
        await opened(marco, known.conversation)
        assert not await ada.run("document.querySelector('#details .privacy')")
        await shows(marco, "#details .privacy button", "Export")
        await marco.run("window.confirm = (question) => { window.asked = question; return true; }")
        await press(marco, "Erase…")
        for page in (ada, marco):
            await told(page, "This contact was erased.")
            await page.until(f"!document.querySelector('#row-{known.conversation}')", "the row is gone")
            await page.until(f"!document.body.textContent.includes({known.word!r})", "no word is left")
        assert known.word in await marco.run("window.asked")
        await channel.say(known.word, "me again")
        await shows(marco, f"#row-{known.conversation} .row-text", "me again")
        await opened(marco, known.conversation)
        await shows(marco, "#thread .happened", "The contact was erased")
        await marco.until("document.querySelector('#older').hidden", "that is all")


async def press(page: Page, label: str) -> None:
    found = f"[...document.querySelectorAll('button')].find((one) => one.textContent === {label!r})"
    await page.run(f"{found}.click()")
