"""Ending tasks so that they end.

A cancellation can get lost on its way: `asyncio.wait_for` of Python 3.11 drops one that comes when the awaited part is
just done, and clients of engines drop one while they close. A loop that was cancelled once would then go on for ever.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_S = 2.0


async def ended(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    """Cancel until all are done; what they raise is nobody's business any more."""
    given = [task for task in tasks if task is not None]
    while left := [task for task in given if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=AGAIN_S)
    await asyncio.gather(*given, return_exceptions=True)  # else asyncio reports exceptions that nobody fetched


def check_cancelled() -> None:
    """CancelledError where the current task was told to end and the telling got lost. For loops that await much."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
