"""Conversations with a slow bot, through an adapter that refuses, that people take over at random moments."""

import asyncio
import random
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from shared.testing.adapter import Adapter, Reaction, Says, Seen, moment
from shared.testing.api import Api, Channel, insist, someone
from shared.testing.eventually import eventually
from shared.testing.follower import Follower

BOT_TAKES_S = 5.0
TAKEN_OVER_WITHIN_S = 7.0
THE_BOT_GETS_S = 45.0
"""To be asked or to speak, where a takeover waits for that."""


@dataclass
class Stage:
    """The bot, the adapter and what they saw. `acknowledged`: conversation -> monotonic seconds of the disable."""

    dice: random.Random
    adapter: Adapter
    bot: Adapter
    acknowledged: dict[str, float] = field(default_factory=dict)
    agents_texts: dict[str, list[str]] = field(default_factory=dict)
    _refusals: dict[str, int] = field(default_factory=dict)

    def set(self) -> None:
        self.adapter.behaviour = self._take
        self.bot.behaviour = self._answer

    def _take(self, seen: Seen) -> Reaction:
        """Half of the bot's messages are refused at first, once to four times."""
        if not by_bot(seen):
            return Says()
        left = self._refusals.setdefault(seen.id, self.dice.choice((0, 0, 0, 0, 1, 2, 3, 4)))
        self._refusals[seen.id] = max(0, left - 1)
        return Says(503) if left else Says()

    async def _answer(self, seen: Seen) -> Reaction:
        await asyncio.sleep(self.dice.uniform(0, BOT_TAKES_S))
        return Says(200, {"replies": [{"text": f"bot {n}"} for n in range(self.dice.randint(1, 3))]})

    def asked(self, conversation: str) -> bool:
        return any(seen.conversation == conversation for seen in self.bot.seen)

    def heard(self, conversation: str) -> bool:
        return any(seen.conversation == conversation for seen in self.spoken())

    def all_replied(self) -> bool:
        """Each reply of an agent has arrived, and with it all that lay before it in its conversation has ended."""
        arrived = {(seen.conversation, seen.text) for seen in self.adapter.seen}
        return all((one, text) in arrived for one, texts in self.agents_texts.items() for text in texts)

    def spoken(self) -> list[Seen]:
        return [seen for seen in self.adapter.seen if by_bot(seen)]

    def late(self) -> list[tuple[str, float]]:
        """The bot's messages that began after the disable was acknowledged, with the seconds between."""
        return [(seen.id, -margin) for seen, margin in self._margins() if margin < 0]

    def closest_s(self) -> float:
        """Between a bot's message and the acknowledgement that came soonest after it."""
        return min((margin for _, margin in self._margins()), default=0.0)

    def _margins(self) -> list[tuple[Seen, float]]:
        return [(seen, self.acknowledged[seen.conversation] - seen.begun) for seen in self.spoken()]


def by_bot(seen: Seen) -> bool:
    return bool(seen.body["author"]["kind"] == "bot")


@dataclass
class Takeover:
    """One conversation, from the customer's first message to the agent's last."""

    stage: Stage
    agent: Api
    channel: Channel
    stream: Follower

    async def play(self) -> None:
        who, dice = someone(), self.stage.dice
        await self._customer_says(who, "Hello?")
        conversation = await self.stream.conversation_of(who)
        await self._moment_comes(conversation)
        if dice.random() < 0.5:
            await self._disables(conversation)
        else:
            await self._replies(conversation, "I take over", disable_bot=True)
        self.stage.acknowledged[conversation] = await moment()
        if dice.random() < 0.5:
            await self._customer_says(who, "Thanks!")
        await self._replies(conversation, "Anything else?")

    async def _moment_comes(self, conversation: str) -> None:
        """Any: counted from the customer's message, from the question to the bot or from the bot's first word. So bots
        are heard and silenced on a slow machine, too."""
        begun = self.stage.dice.choice((None, self.stage.asked, self.stage.heard))
        if begun is not None:
            with suppress(AssertionError):
                await eventually(partial(begun, conversation), "the bot's turn", timeout=THE_BOT_GETS_S, every=0.05)
        await asyncio.sleep(self.stage.dice.uniform(0, TAKEN_OVER_WITHIN_S))

    async def _customer_says(self, who: str, text: str) -> None:
        event = {"type": "message", "id": uuid.uuid4().hex, "from": {"id": who}, "text": text}
        event |= {"occurred_at": "2026-01-31T12:00:00Z"}
        await insist(lambda: self.channel.post([event]), 202)

    async def _disables(self, conversation: str) -> None:
        path, key = f"/v1/conversations/{conversation}/bot", {"Idempotency-Key": uuid.uuid4().hex}
        await insist(lambda: self.agent.call("POST", path, {"enabled": False}, key), 200)

    async def _replies(self, conversation: str, text: str, **fields: Any) -> None:
        key = uuid.uuid4().hex
        await insist(lambda: self.agent.reply(conversation, text, key, **fields), 201)
        self.stage.agents_texts.setdefault(conversation, []).append(text)
