"""The web chat's bot: answers a visitor, says what it is, and hands over to a person who asked for or took over."""

import os
import signal
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio

from shared.engines.ports import accepts
from shared.testing.api import Api
from shared.testing.browser import Page, chromium, page
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, assert_whole, kind
from shared.testing.system import System
from tests.e2e.console import of_the_network
from tests.e2e.processes import family, running
from tests.e2e.webchat import Visitor

BOT = "examples/bot/server.py"


@pytest_asyncio.fixture
async def visitor(system: System) -> AsyncIterator[Visitor]:
    async with Visitor(system.info["webchat"]) as visitor:
        visitor.listen()
        yield visitor


async def asks(visitor: Visitor, stream: Follower, text: str) -> str:
    """-> the conversation, once it is on the stream."""
    marked = f"{text} ({uuid.uuid4().hex})"
    await visitor.say(marked, uuid.uuid4().hex)

    def received() -> str | None:
        messages = [e for e in stream.events if kind(e) == "message.received"]
        return next((str(e["subject"]) for e in messages if e["data"]["message"]["text"] == marked), None)

    return await eventually(received, "the agent's stream shows it")


async def becomes(agent: Api, conversation: str, **wanted: Any) -> dict[str, Any]:
    async def state() -> dict[str, Any] | None:
        found: dict[str, Any] = await agent.ok("GET", f"/v1/conversations/{conversation}")
        seen = {**found, "bot_enabled": found["bot"]["enabled"]}
        return found if all(seen[name] == value for name, value in wanted.items()) else None

    return await eventually(state, f"the conversation becomes {wanted}")


async def test_the_bot_answers_says_what_it_is_and_hands_over_when_a_person_is_asked_for(
    agent: Api, stream: Follower, visitor: Visitor
) -> None:
    conversation = await asks(visitor, stream, "hello")
    await eventually(lambda: visitor.texts("bot"), "the bot answers in the web chat")
    assert "bot" in visitor.texts("bot")[0]
    await becomes(agent, conversation, bot_enabled=True, needs_human=False, assignee=None)
    assert (await agent.reply(conversation, "too early")).body["code"] == "BOT_ACTIVE"

    await asks(visitor, stream, "I want a human")
    await eventually(lambda: len(visitor.texts("bot")) == 2, "it says that a colleague comes")
    await becomes(agent, conversation, bot_enabled=False, needs_human=True)
    await eventually(lambda: stream.of(conversation, "bot.disabled"), "the stream, too, tells of it")
    [disabled] = stream.of(conversation, "bot.disabled")
    assert disabled["data"]["reason"] == "handoff"

    assert (await agent.reply(conversation, "A person here")).status == 201
    await eventually(lambda: visitor.texts("agent") == ["A person here"], "the visitor sees the answer")
    await becomes(agent, conversation, bot_enabled=False, needs_human=False)
    await asks(visitor, stream, "hello, are you still there?")
    await agent.reply(conversation, "Yes")
    await eventually(lambda: visitor.texts("agent")[1:] == ["Yes"], "the visitor sees the next answer")
    assert len(visitor.texts("bot")) == 2, "the bot is silent from the handover on"
    assert_whole(stream.events)


async def test_a_bot_that_dies_is_started_again(system: System, stream: Follower, visitor: Visitor) -> None:
    before = running(family(system.process.pid), BOT)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    await eventually(lambda: running(family(system.process.pid), BOT) not in (None, before), "a new process")
    port = urlsplit(system.info["bot"]).port
    assert port is not None
    await eventually(lambda: accepts(port), "it listens: a question before that would have failed")
    await asks(visitor, stream, "when do you open?")
    await eventually(lambda: visitor.texts("bot"), "it answers")


async def test_the_bot_refuses_questions_that_relaydesk_did_not_sign(system: System) -> None:
    url = system.info["bot"]
    signature = {"webhook-id": "m", "webhook-timestamp": "1795426200", "webhook-signature": "v1,QUFB"}
    async with aiohttp.ClientSession() as session:
        for headers in ({}, signature):
            async with session.post(url, data=b"\xff{}", headers=headers) as answer:
                assert answer.status == 401


async def place(console: Page, selector: str) -> dict[str, float]:
    where: dict[str, float] = await console.run(
        f"document.querySelector('{selector}').getBoundingClientRect().toJSON()"
    )
    return where


@pytest.mark.skipif(chromium() is None, reason="no chromium on this machine: apt-get install chromium")
async def test_an_agent_takes_over_with_the_button_and_gives_back(
    system: System, agent: Api, stream: Follower, visitor: Visitor
) -> None:
    conversation = await asks(visitor, stream, "hello")
    await eventually(lambda: visitor.texts("bot"), "the bot answers")
    locked = "document.querySelector('#text').readOnly && document.querySelector('#send').disabled"
    async with page() as console:
        await console.looks(1400, 860)
        await console.open(f"{system.info['console']}#token={system.info['tokens']['agent']}")
        await console.until(f"document.querySelector('#row-{conversation}')", "it is in the inbox")
        await console.click(f"#row-{conversation}")
        await console.until("document.querySelector('#bot').textContent === 'Disable chatbot'", "the button")
        await console.until(locked, "the reply box is locked")
        button, thread = [await place(console, one) for one in ("#bot", "#opened")]
        assert button["left"] > (thread["left"] + thread["right"]) / 2, "on the right"
        assert button["bottom"] < thread["top"] + 80, "and at the top"
        await console.type("#text", "not yet")
        await console.press("Enter")
        assert await console.run("document.querySelector('#text').value") == ""

        await console.click("#mode-note")
        await console.until("!document.querySelector('#text').readOnly", "notes are for the team")
        await console.click("#mode-reply")
        await console.until(locked, "replies are not")

        await console.click("#bot")
        await console.until("document.querySelector('#bot').textContent === 'Enable chatbot'", "disabled")
        await console.until("!document.querySelector('#text').readOnly", "unlocked")
        await console.type("#text", "A person here")
        await console.press("Enter")
        await eventually(lambda: visitor.texts("agent") == ["A person here"], "the visitor sees the answer")
        await becomes(agent, conversation, assignee=system.info["members"]["agent"])

        await console.click("#bot")
        await console.until(locked, "locked again")
        before = len(visitor.texts("bot"))
        await asks(visitor, stream, "when do you open?")
        await eventually(lambda: len(visitor.texts("bot")) == before + 1, "the bot answers again")
        assert [said for said in console.complaints if not of_the_network(said)] == []
