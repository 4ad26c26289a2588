"""Questions to a webhook bot, on real engines."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from shared.contracts.commands import BotFailed, BotReply
from shared.contracts.ids import bot_reply_id
from shared.runtime.component import Service
from shared.testing.adapter import Adapter, Breaks, Reaction, Says
from shared.testing.eventually import eventually
from tests.integration.dispatch.installation import Installation, Talk


@pytest_asyncio.fixture(scope="module")
async def life(installation: Installation) -> AsyncIterator[Service]:
    async with installation.dispatch() as service:
        yield service


pytestmark = pytest.mark.usefixtures("life")


async def told(installation: Installation, talk: Talk, count: int = 1) -> list[Any]:
    """What routing was told of this conversation, once it is so much."""

    def all_there() -> list[Any]:
        found = installation.commands(talk.conversation)
        return found if len(found) >= count else []

    return await eventually(all_there, f"{count} commands")


async def test_a_bot_is_asked_signed_and_its_replies_become_a_command(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = lambda seen: Says(200, {"replies": [{"text": "one"}, {"text": "two"}], "handoff": True})
    asked = await talk.ask(epoch=4)
    (said,) = await told(installation, talk)
    assert isinstance(said, BotReply) and said.handoff and [reply.text for reply in said.replies] == ["one", "two"]
    assert (said.id, said.epoch, said.request_message_id) == (bot_reply_id(asked.message.id, 4), 4, asked.message.id)
    (seen,) = adapter.seen
    assert not adapter.bad and seen.id == said.id
    assert seen.body == {
        "type": "message",
        "conversation_id": talk.conversation,
        "epoch": 4,
        "message": asked.message.model_dump(mode="json"),
        "contact": asked.contact.model_dump(mode="json"),
    }


async def test_questions_of_a_conversation_are_asked_one_at_a_time_in_order(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    for _ in range(4):
        await talk.ask()
    said = await told(installation, talk, 4)
    assert [one.request_message_id.rpartition("-")[2] for one in said] == ["3", "4", "5", "6"]
    assert adapter.at_once == 1


async def test_a_repeated_question_is_asked_once(installation: Installation, adapter: Adapter, talk: Talk) -> None:
    first = await talk.ask()
    await told(installation, talk)
    talk.seq -= 1
    await talk.ask(requested_at=first.requested_at)
    await talk.ask()
    await told(installation, talk, 2)
    assert len(adapter.seen) == 2


BAD: dict[str, tuple[Reaction, str, int]] = {
    "500": (Says(500), "HTTP_500", 2),
    "404": (Says(404), "HTTP_404", 1),
    "redirect": (Says(302, b"", {"Location": "/x"}), "HTTP_302", 1),
    "garbage": (Says(200, b"\x00\xff"), "GARBAGE", 1),
    "html": (Says(200, b"<html>hi</html>"), "GARBAGE", 1),
    "ten megabytes": (Says(200, b"x" * 10_000_000), "TOO_LARGE_OR_CUT", 1),
    "a thousand replies": (Says(200, {"replies": [{"text": "x"}] * 1000}), "GARBAGE", 1),
    "another conversation": (Says(200, {"replies": [], "conversation_id": "x"}), "OTHER_CONVERSATION", 1),
    "closes": (Breaks(), "NO_ANSWER", 2),
    "closes half way": (Breaks(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), "TOO_LARGE_OR_CUT", 1),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_answer_is_a_failure_that_says_why(
    installation: Installation, adapter: Adapter, talk: Talk, case: str
) -> None:
    reaction, reason, asked = BAD[case]
    adapter.behaviour = lambda seen: reaction
    await talk.ask()
    (said,) = await told(installation, talk)
    assert isinstance(said, BotFailed) and said.reason == reason and len(adapter.seen) == asked


async def test_of_two_answers_to_a_question_the_first_counts(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    body = b'{"replies": [{"text": "%s"}]}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    first, second = body % b"one", body % b"two"
    adapter.behaviour = lambda seen: Breaks(head % len(first) + first + head % len(second) + second)
    await talk.ask()
    await told(installation, talk)
    adapter.behaviour = lambda seen: Says(200, {"replies": [{"text": "next"}]})
    await talk.ask()
    said = await told(installation, talk, 2)
    assert [[reply.text for reply in one.replies] for one in said] == [["one"], ["next"]]


async def test_an_empty_answer_says_nothing_and_is_no_failure(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = lambda seen: Says(200, b"")
    await talk.ask()
    (said,) = await told(installation, talk)
    assert isinstance(said, BotReply) and not said.replies and len(adapter.seen) == 1


async def test_a_quick_failure_is_asked_once_more(installation: Installation, adapter: Adapter, talk: Talk) -> None:
    adapter.behaviour = lambda seen: Says(503) if len(adapter.seen) == 1 else Says(200, {"replies": [{"text": "ok"}]})
    await talk.ask()
    (said,) = await told(installation, talk)
    assert isinstance(said, BotReply) and len({seen.id for seen in adapter.seen}) == 1


async def test_an_old_question_is_not_asked(installation: Installation, adapter: Adapter, talk: Talk) -> None:
    await talk.ask(requested_at="2026-01-01T00:00:00.000Z")
    (said,) = await told(installation, talk)
    assert isinstance(said, BotFailed) and said.reason == "EXPIRED" and not adapter.seen


async def test_a_bot_that_a_person_took_over_from_is_not_asked(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    await talk.fence(1)

    async def stored() -> bool:
        return await installation.db.fences.find_one({"_id": f"acme:{talk.conversation}"}) is not None

    await eventually(stored, "the fence")
    await talk.ask(epoch=0)
    await talk.ask(epoch=2)
    (said,) = await told(installation, talk)
    assert said.epoch == 2 and len(adapter.seen) == 1
