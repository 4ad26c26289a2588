"""Agents' answers in open loop: until the 201, and until the adapter has them."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.testing.adapter import Adapter
from shared.testing.api import Api

SETTLED_WITHIN_S = 20.0


@dataclass(slots=True)
class Replies:
    """Seconds from the intended send. `lost`: answered 201, never at the adapter; `refused`: not answered 201."""

    to_201: list[float] = field(default_factory=list)
    to_adapter: list[float] = field(default_factory=list)
    lost: int = 0
    refused: int = 0


async def measured(info: dict[str, Any], conversations: Sequence[str], count: int, rate: float) -> Replies:
    """`rate` 0: all at once. Two agents take turns; a bot is nobody's here."""
    base = info["services"]["gateway"]["http"]
    channel = info["channel"]["id"]
    async with Adapter() as adapter, Api(info["services"]["ingest"]["http"], info["tokens"]["owner"]) as owner:
        await owner.ok("PATCH", f"/v1/channels/{channel}", {"settings": {"outbound_url": adapter.url}})
        await asyncio.sleep(1.0)  # dispatch reads the channel's new record
        async with Api(base, info["tokens"]["agent"]) as one, Api(base, info["tokens"]["agent2"]) as other:
            return await _post((one, other), adapter, conversations, count, rate)


async def _post(
    agents: Sequence[Api], adapter: Adapter, conversations: Sequence[str], count: int, rate: float
) -> Replies:
    result, due_of = Replies(), dict[str, float]()
    prefix = f"answer {time.monotonic_ns()} "

    async def reply(number: int, agent: Api, due: float) -> None:
        text = f"{prefix}{number}"
        due_of[text] = due
        answer = await agent.reply(conversations[number % len(conversations)], text)
        if answer.status == 201:
            result.to_201.append(time.monotonic() - due)
        else:
            result.refused += 1
            del due_of[text]

    async with asyncio.TaskGroup() as posts:
        start = time.monotonic()
        for number, agent in zip(range(count), itertools.cycle(agents), strict=False):
            due = start + (number / rate if rate else 0.0)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            posts.create_task(reply(number, agent, due))
    end, at = time.monotonic() + SETTLED_WITHIN_S, dict[str, float]()
    while due_of.keys() - at.keys() and time.monotonic() < end:
        await asyncio.sleep(0.05)
        at = {seen.text: seen.at for seen in reversed(adapter.seen)}
    result.to_adapter = [at[text] - due for text, due in due_of.items() if text in at]
    result.lost = len(due_of) - len(result.to_adapter)
    return result
