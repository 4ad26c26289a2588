"""Rate limits in this process's memory: a token bucket per name. With n replicas the whole rate is n times as high."""

from shared.runtime.clock import Clock

_FULL_AGAIN_SWEEP = 10_000


class TokenBuckets:
    """`rate` tokens a second, at most `burst` at once; a rate of 0 means no limit."""

    def __init__(self, rate: float, burst: float, clock: Clock) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, tokens: float) -> float:
        """0 where they were taken, else the seconds to wait; more than `burst` at once is taken from a full bucket."""
        if not self._rate:
            return 0.0
        now = self._clock.monotonic()
        level = self._level(name, now)
        missing = min(tokens, self._burst) - level
        if missing > 0:
            return missing / self._rate
        self._buckets[name] = (level - tokens, now)
        if len(self._buckets) > _FULL_AGAIN_SWEEP:
            self._forget_full(now)
        return 0.0

    def _level(self, name: str, now: float) -> float:
        level, then = self._buckets.get(name, (self._burst, now))
        return min(self._burst, level + (now - then) * self._rate)

    def _forget_full(self, now: float) -> None:
        self._buckets = {name: kept for name, kept in self._buckets.items() if self._level(name, now) < self._burst}
