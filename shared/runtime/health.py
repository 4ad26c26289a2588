"""Three questions, three answers: has it started, can it serve, does it make progress?

Liveness must not know Kafka, MongoDB or S3: a restart mends none of them. It asks only whether this process moves.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

CHECK_TIMEOUT_S = 1.0

Progress = Callable[[], str | None]
"""None while it moves; else one sentence saying what is stuck. Must not block."""

Check = Callable[[], Awaitable[str | None]]
"""None when it can serve; else one sentence saying what is missing. May raise: that counts as missing."""


class Reachable(Protocol):
    async def ping(self) -> None:
        """Return when it answers; raise when not."""


class Health:
    """State and checks of one service. Not thread-safe: belongs to the event loop."""

    def __init__(self) -> None:
        self.started = False
        self.draining = False
        self._checks: dict[str, Check] = {}
        self._progress: dict[str, Progress] = {}
        self._fatal: BaseException | None = None
        self._died = asyncio.Event()

    def ready_when(self, name: str, check: Check) -> None:
        """Readiness asks `check`, at most a second; not asked before the service has started."""
        self._checks[name] = check

    def ready_when_reachable(self, name: str, engine: Reachable) -> None:
        async def check() -> str | None:
            await engine.ping()
            return None

        self._checks[name] = check

    def alive_while(self, name: str, progress: Progress) -> None:
        self._progress[name] = progress

    def fatal(self, error: BaseException) -> None:
        """This process must end: `serve` logs the (first) error, stops everything in order and answers 1."""
        self._fatal = self._fatal or error
        self._died.set()

    @property
    def cause_of_death(self) -> BaseException | None:
        return self._fatal

    async def died(self) -> BaseException:
        """Wait for `fatal`; answers its error."""
        await self._died.wait()
        assert self._fatal is not None
        return self._fatal

    def stuck(self) -> dict[str, str]:
        """What makes no progress, by name; empty = alive."""
        found = {name: said for name, progress in self._progress.items() if (said := progress()) is not None}
        if self._fatal is not None:
            found["fatal"] = type(self._fatal).__name__
        return found

    async def missing(self) -> dict[str, str]:
        """What keeps this service from serving, by name; empty = ready. Takes at most a second."""
        if self.draining:
            return {"draining": "shutting down"}
        if not self.started:
            return {"started": "still starting"}
        answers = await asyncio.gather(*(_ask(check) for check in self._checks.values()))
        return {name: said for name, said in zip(self._checks, answers, strict=True) if said is not None}


async def _ask(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:g} s"
    except Exception as error:  # noqa: BLE001 - whatever a check raises, it says "not ready"
        return type(error).__name__
