"""The rules of a well-behaved client (docs/stream.md), pure: they read no clock and touch no network."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

SILENT: Final = 0
FORBIDDEN: Final = 4003
PROTOCOL_ERROR: Final = 4009
TOO_MANY_FRAMES: Final = 4029

MOST_CONVERSATIONS = 50_000


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `connect_s`: so long may a connection take to be welcomed. `rate_wait_s`: the least pause after 4029."""

    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    connect_s: float = 20.0
    silent_heartbeats: float = 2.0
    rate_wait_s: float = 10.0
    typing_s: float = 3.0

    def pause(self, failures: int, random: Callable[[], float]) -> float:
        """After so many failures before: exponential with full jitter. `random`: 0 up to 1."""
        return random() * min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(failures, 60))


class Seen:
    """The last seq of each conversation, of the `most` that changed lately."""

    def __init__(self, most: int = MOST_CONVERSATIONS) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()
        self._most = most

    def has(self, event: dict[str, Any]) -> bool:
        """Whether this event has been handled; False for one without a seq."""
        seq = event.get("seq")
        return seq is not None and seq <= self._last.get(event["subject"], 0)

    def add(self, event: dict[str, Any]) -> None:
        if (seq := event.get("seq")) is None:
            return
        self._last[event["subject"]] = seq
        self._last.move_to_end(event["subject"])
        if len(self._last) > self._most:
            self._last.popitem(last=False)

    def clear(self) -> None:
        self._last.clear()
