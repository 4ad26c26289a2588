"""Work that is done now and then for as long as the process lives, whatever goes wrong in between."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from shared.runtime.engine_errors import is_away
from shared.runtime.tasks import ended

log = structlog.stdlib.get_logger(__name__)


class Regularly:
    """Component: does `work` at the start and every `every_s` seconds. `what`, for the log: "the sweep of media"."""

    def __init__(self, work: Callable[[], Awaitable[object]], every_s: float, what: str) -> None:
        self._work = work
        self._every_s = every_s
        self._what = what
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        await ended([self._task])

    def progress(self) -> str | None:
        """None while it goes on; for liveness."""
        return f"{self._what} has ended" if self._task is not None and self._task.done() else None

    async def _run(self) -> None:
        while True:
            try:
                await self._work()
            except Exception as error:
                if is_away(error):
                    log.warning("will be repeated", what=self._what, reason=type(error).__name__)
                else:
                    log.exception("failed, and will be repeated", what=self._what)
            await asyncio.sleep(self._every_s)
