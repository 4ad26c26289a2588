"""One at a time for each key, within this process; keys that nobody waits for take no memory."""

import asyncio
from collections.abc import Hashable
from weakref import WeakValueDictionary


class Turns:
    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def of(self, key: Hashable) -> asyncio.Lock:
        """Use at once: `async with turns.of(key):`."""
        return self._locks.setdefault(key, asyncio.Lock())
