"""Waiting for a command's outcome: woken by this replica's readers, else by asking the store now and then."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from services.gateway.store.commands import CommandState, CommandStore
from shared.runtime.clock import Clock

FIRST_POLL_S = 0.05
LONGEST_POLL_S = 0.25
WOKEN_POLL_S = 0.005
"""The stream may see a command's last event some milliseconds before the projector has stored its outcome."""

GROWTH = 1.6


@dataclass
class _Waiting:
    news: asyncio.Event = field(default_factory=asyncio.Event)
    waiters: int = 0


class Outcomes:
    def __init__(self, store: CommandStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}

    def decided(self, commands: Collection[str]) -> None:
        for command in commands:
            self.seen(command)

    def seen(self, command: str) -> None:
        """Something was heard of this command: look now. Cheap for commands that nobody waits for."""
        waiting = self._waiting.get(command)
        if waiting is not None:
            waiting.news.set()

    async def wait(self, command: CommandState, seconds: float) -> CommandState:
        """The command as decided, or as it is when the time is over."""
        waiting = self._waiting.setdefault(command.id, _Waiting())
        waiting.waiters += 1
        try:
            return await self._wait(command, waiting.news, self._clock.monotonic() + seconds)
        finally:
            waiting.waiters -= 1
            if not waiting.waiters:
                del self._waiting[command.id]

    async def _wait(self, command: CommandState, news: asyncio.Event, deadline: float) -> CommandState:
        poll = FIRST_POLL_S
        while command.status == "pending" and (left := deadline - self._clock.monotonic()) > 0:
            woken = await _within(news, min(poll, left))
            poll = WOKEN_POLL_S if woken else min(LONGEST_POLL_S, poll * GROWTH)
            command = await self._store.find(command.id, command.workspace) or command
        return command


async def _within(news: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return False
    news.clear()
    return True
