"""Deadline polls: the only way a test waits."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")

PATIENCE_S = 40.0
"""Longer than a busy machine stalls, shorter than the minute after which sweeps look by themselves."""


@overload
async def eventually(
    probe: Callable[[], Awaitable[T | None]], what: str, timeout: float = ..., every: float = ...
) -> T: ...


@overload
async def eventually(probe: Callable[[], T | None], what: str, timeout: float = ..., every: float = ...) -> T: ...


async def eventually(
    probe: Callable[[], object], what: str, timeout: float = PATIENCE_S, every: float = 0.02
) -> object:
    """Poll `probe` until it returns something true; AssertionError naming `what` and the last value or error.

    Asked once more when the time is over: whoever was held up himself has not seen yet what came meanwhile.
    """
    deadline, over, last = time.monotonic() + timeout, False, ""
    while not over:
        over = time.monotonic() >= deadline
        try:
            value = probe()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            last = repr(value)
        except (AssertionError, OSError, KeyError, IndexError) as error:
            last = repr(error)
        await asyncio.sleep(every)
    raise AssertionError(f"{what}: not within {timeout:g} s (last: {last[:500]})")
