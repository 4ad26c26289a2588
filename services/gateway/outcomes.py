"""Waiting for commands' outcomes: the store is asked when this replica's readers heard of one, else now and then.

However many wait, one question is under way, for all whose turn it is: a burst of replies makes no burst of questions,
which would keep the projector from its work.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.gateway.store.commands import CommandState, CommandStore
from shared.runtime.clock import Clock

FIRST_POLL_S = 0.05
LONGEST_POLL_S = 0.25
WOKEN_POLL_S = 0.005
"""The stream may see a command's last event some milliseconds before the projector has stored its outcome."""

GROWTH = 1.6


@dataclass(slots=True)
class _Waiting:
    """`due`: when to ask next (monotonic seconds). `ended`: None with the outcome, or why it can't be known."""

    state: CommandState
    ended: asyncio.Future[Exception | None]
    due: float
    pause: float
    waiters: int = 0


class Outcomes:
    def __init__(self, store: CommandStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}
        self._news = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None

    def decided(self, commands: Collection[str]) -> None:
        for command in commands:
            self.seen(command)

    def seen(self, command: str) -> None:
        """Something was heard of this command: ask now. Cheap for commands that nobody waits for."""
        waiting = self._waiting.get(command)
        if waiting is not None:
            waiting.due, waiting.pause = self._clock.monotonic(), WOKEN_POLL_S
            self._news.set()

    async def wait(self, command: CommandState, seconds: float) -> CommandState:
        """The command as decided, or as it is when the time is over. Raises what the store raises."""
        if command.status != "pending":
            return command
        waiting = self._waiting.get(command.id)
        if waiting is None:
            ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
            waiting = _Waiting(command, ended, self._clock.monotonic() + FIRST_POLL_S, FIRST_POLL_S)
            self._waiting[command.id] = waiting
        waiting.waiters += 1
        self._ask_from_now_on()
        try:
            await asyncio.wait([waiting.ended], timeout=seconds)
            if waiting.ended.done() and (error := waiting.ended.result()) is not None:
                raise error
            return waiting.state
        finally:
            waiting.waiters -= 1
            if not waiting.waiters and self._waiting.get(command.id) is waiting:
                del self._waiting[command.id]

    def _ask_from_now_on(self) -> None:
        self._news.set()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_while_somebody_waits())

    async def _ask_while_somebody_waits(self) -> None:
        while self._waiting:
            self._news.clear()
            now = self._clock.monotonic()
            open_ones = [waiting for waiting in self._waiting.values() if not waiting.ended.done()]
            due = [waiting for waiting in open_ones if waiting.due <= now]
            if due:
                await self._ask(due, now)
            else:
                soonest = min((waiting.due for waiting in open_ones), default=now + LONGEST_POLL_S)
                await _within(self._news, soonest - now)

    async def _ask(self, due: Sequence[_Waiting], now: float) -> None:
        for waiting in due:
            waiting.due, waiting.pause = now + waiting.pause, min(LONGEST_POLL_S, waiting.pause * GROWTH)
        try:
            found = await self._store.find_all({waiting.state.id: waiting.state.workspace for waiting in due})
        except Exception as error:  # noqa: BLE001 - the waiters' to judge
            self._end(due, error)
            return
        for waiting in due:
            waiting.state = found.get(waiting.state.id, waiting.state)
        self._end([waiting for waiting in due if waiting.state.status != "pending"], None)

    def _end(self, those: Sequence[_Waiting], error: Exception | None) -> None:
        """Who begins to wait from now on asks anew."""
        for waiting in those:
            waiting.ended.set_result(error)
            if self._waiting.get(waiting.state.id) is waiting:
                del self._waiting[waiting.state.id]


async def _within(news: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        pass
