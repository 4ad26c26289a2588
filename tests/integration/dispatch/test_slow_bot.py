"""A bot that takes its time for one conversation, on real engines."""

import asyncio
from collections.abc import Awaitable

from shared.testing.adapter import Adapter, Reaction, Says, Seen
from shared.testing.eventually import eventually
from tests.integration.dispatch.installation import Installation, Talk

PATIENCE_S = 60.0
"""Longer than anything here takes: while the slow one is waited for, the others have to be served."""


async def test_a_slow_bot_of_one_conversation_holds_up_no_other(
    installation: Installation, adapter: Adapter, talk: Talk
) -> None:
    go_on = asyncio.Event()

    async def slow() -> Reaction:
        await go_on.wait()
        return Says()

    def behaviour(seen: Seen) -> Reaction | Awaitable[Reaction]:
        return slow() if seen.conversation == talk.conversation else Says()

    adapter.behaviour = behaviour
    async with installation.dispatch(dispatch_bot_deadline_s=PATIENCE_S):
        await talk.ask()
        await eventually(lambda: adapter.seen, "the slow one is asked")
        others = [Talk(installation, talk.channel_id) for _ in range(10)]
        for other in others:
            await other.ask()
        for other in others:
            await eventually(lambda: installation.commands(other.conversation), "an answer")  # noqa: B023
        assert not installation.commands(talk.conversation)
        go_on.set()
        await eventually(lambda: installation.commands(talk.conversation), "the slow answer")
