"""A circuit breaker: a bot that fails again and again is left alone for a while, then tried with one request."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

FAILURES = 20
"""In a row, of all conversations of a channel. Fewer may be one person who tries out a bot."""

OPEN_FOR_S = 15.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """`failures` in a row; `open_until`: no request before it, and one alone after it until that one is answered."""

    failures: int = 0
    open_until: datetime | None = None
    trying: bool = False

    def allows(self, now: datetime) -> bool:
        return self.open_until is None or (now >= self.open_until and not self.trying)

    def asked(self) -> "Breaker":
        """A request goes out; while open it is the one trial."""
        return replace(self, trying=self.open_until is not None)

    def answered(self, well: bool, now: datetime) -> "Breaker":
        """How a request ended; those that were under way when it opened count too."""
        if well:
            return Breaker()
        failures = self.failures + 1
        if failures < FAILURES:
            return Breaker(failures)
        return Breaker(failures, now + timedelta(seconds=OPEN_FOR_S))
