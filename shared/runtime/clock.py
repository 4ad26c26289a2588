"""Time as an argument: what reads the clock is handed one."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock: aware, UTC. May jump."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back. For durations and deadlines."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
