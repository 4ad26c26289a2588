"""Keeping processes alive: when a dead one is started again. Knows nothing of what they do."""

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from shared.engines.process import EngineError

DEATHS = 3
WINDOW_S = 10.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 4.0


class Kept(Protocol):
    """A process that can be started again after it ended."""

    @property
    def name(self) -> str: ...
    @property
    def pid(self) -> int: ...
    @property
    def running(self) -> bool: ...
    def start(self) -> None: ...


class Deaths:
    """The deaths of one process: how long to wait after each before it is started again."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=DEATHS)
        self._pause = FIRST_PAUSE_S

    def pause_after(self, now: float) -> float:
        """Seconds to wait after a death at `now`: none, but from the third within 10 s on 0.5, 1, 2, 4, 4 …"""
        self._recent.append(now)
        if len(self._recent) < DEATHS or now - self._recent[0] > WINDOW_S:
            self._pause = FIRST_PAUSE_S
            return 0.0
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE_S)
        return pause


class Keeper:
    """Keeps one process running. `look` is to be called often and does not block."""

    def __init__(self, process: Kept, clock: Callable[[], float] = time.monotonic) -> None:
        self.process = process
        self.failing = False
        self._clock = clock
        self._deaths = Deaths()
        self._due: float | None = None

    def look(self) -> bool:
        """Start it again if it died and its pause is over; True when there is a new pid. `failing`: it keeps dying."""
        if self.process.running:
            return False
        now = self._clock()
        if self._due is None:
            pause = self._deaths.pause_after(now)
            self.failing = pause > 0
            self._due = now + pause
        if now < self._due:
            return False
        self._due = None
        return self._start()

    def _start(self) -> bool:
        try:
            self.process.start()
        except EngineError:
            return False  # its port is still held: as good as one more death
        return True
