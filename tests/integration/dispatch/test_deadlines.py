"""Adapters and bots that answer too late, on real engines.

The deadline is short here, so one who answers at once may miss it too: then he is asked again, and nothing else.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.dispatch.app import kinds
from shared.contracts.commands import BotFailed, BotReply, Command
from shared.runtime.component import Service
from shared.testing.adapter import Adapter, Hangs, Reaction, Says, Seen
from shared.testing.eventually import eventually
from tests.integration.dispatch.installation import Installation, Talk, known

DEADLINE_S = 0.5
TIMING = {
    "dispatch_timeout_s": DEADLINE_S,
    "dispatch_bot_deadline_s": DEADLINE_S,
    "dispatch_fence_patience_s": 60.0,  # so that nothing else ends an attempt while a test waits
}


@pytest_asyncio.fixture(scope="module")
async def life(installation: Installation) -> AsyncIterator[Service]:
    async with installation.dispatch(kinds, **TIMING) as service:
        yield service


@pytest_asyncio.fixture
async def channel(life: Service, channel: str) -> str:
    await known(life, channel)
    return channel


pytestmark = pytest.mark.usefixtures("life")


async def test_a_hanging_adapter_is_given_up_after_the_deadline_and_tried_again(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = lambda seen: Hangs() if len(adapter.seen) == 1 else Says()
    begun = time.monotonic()
    (report,) = await installation.reported(await talk.send())
    assert report.status == "sent" and (report.attempt or 0) >= 2
    assert adapter.seen[1].at - begun >= DEADLINE_S


async def test_an_answer_after_the_deadline_does_not_count_and_the_message_is_tried_again(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    """The first answer is a refusal that would end the message, given when the second attempt is there."""

    async def late(seen: Seen) -> Reaction:
        if len(adapter.attempts(seen.id)) == 1:
            await eventually(lambda: len(adapter.attempts(seen.id)) > 1, "another attempt")
            return Says(410, b"too late to matter")
        return Says()

    adapter.behaviour = late
    sent = await talk.send(2)
    reports = await installation.reported(sent)
    assert [report.status for report in reports] == ["sent"] * 2 and all((one.attempt or 0) >= 2 for one in reports)
    assert adapter.ids() == [record.message_id for record in sent]


async def test_a_bot_that_answers_after_its_deadline_has_not_answered(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = lambda seen: Hangs()
    begun = time.monotonic()
    failed = await unanswered(installation, adapter, talk)
    assert failed.reason == "NO_ANSWER" and time.monotonic() - begun >= DEADLINE_S


async def test_an_answer_that_comes_after_the_deadline_is_nobodys(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    over, answered = asyncio.Event(), asyncio.Event()

    async def late(seen: Seen) -> Reaction:
        if len(adapter.seen) > 1:
            return Says(200, {"replies": [{"text": "in time"}]})
        await over.wait()
        answered.set()
        return Says(200, {"replies": [{"text": "late"}]})

    adapter.behaviour = late
    assert (await unanswered(installation, adapter, talk)).reason == "NO_ANSWER"
    over.set()
    await answered.wait()
    said = [await asked(installation, talk)]
    while isinstance(said[-1], BotFailed):
        said.append(await asked(installation, talk))
    (reply,) = [one for one in installation.commands(talk.conversation) if isinstance(one, BotReply)]
    assert reply is said[-1] and [part.text for part in reply.replies] == ["in time"]


async def asked(installation: Installation, talk: Talk) -> Command:
    """A question more; what routing is told of it."""
    question = (await talk.ask()).message.id

    def told() -> list[Command]:
        commands = installation.commands(talk.conversation)
        return [one for one in commands if isinstance(one, BotReply | BotFailed) and one.request_message_id == question]

    (said,) = await eventually(told, "what became of the question")
    return said


async def unanswered(installation: Installation, adapter: Adapter, talk: Talk) -> BotFailed:
    """What is told of a question that reached the bot: the deadline may be over before one does."""
    while True:
        said = await asked(installation, talk)
        assert isinstance(said, BotFailed)
        if adapter.seen:
            assert len(adapter.seen) == 1
            return said
