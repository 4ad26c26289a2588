"""Many deadlines, one timer: sets of items by the tick at which they are due. Pure.

Not exact: an item is due up to one tick after its moment.
"""

from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    """Times are seconds of one monotonic clock."""

    def __init__(self, now: float, tick_s: float) -> None:
        self._tick_s = tick_s
        self._turned = int(now / tick_s)
        self._due: dict[int, dict[T, None]] = {}

    def __len__(self) -> int:
        return sum(len(items) for items in self._due.values())

    def add(self, moment: float, item: T) -> int:
        """Answers the tick, for `discard`. A moment that has passed is due at the next turn."""
        tick = max(int(moment / self._tick_s) + 1, self._turned + 1)
        self._due.setdefault(tick, {})[item] = None
        return tick

    def discard(self, tick: int, item: T) -> None:
        items = self._due.get(tick, {})
        items.pop(item, None)
        if not items:
            self._due.pop(tick, None)

    def turn(self, now: float) -> list[T]:
        """What has become due since the last turn, in order of ticks."""
        turned, self._turned = self._turned, int(now / self._tick_s)
        ticks = range(turned + 1, self._turned + 1)
        return [item for tick in ticks for item in self._due.pop(tick, {})]
