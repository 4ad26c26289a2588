"""Rate limits in this process's memory: tokens by name. With n replicas the whole rate is n times as high."""

from collections.abc import Hashable
from operator import itemgetter

from shared.runtime.auth import Principal
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.problems import too_many_requests
from shared.runtime.settings import AuthSettings

MAX_KEPT = 10_000
JITTER_S = 1e-6
"""What sums of floating-point seconds may be off by: less than that is no reason to refuse."""


class TokenBuckets:
    """`rate` tokens a second, at most `burst` at once; a rate of 0 means no limit.

    A bucket is the moment at which it is full again (the generic cell rate algorithm, ITU-T I.371). When there are more
    than `MAX_KEPT`, who is full again is forgotten, and where that is not enough, who would be so first.
    """

    def __init__(self, rate: float, burst: float, clock: Clock) -> None:
        self._token_s = 1 / rate if rate else 0.0
        self._burst = burst
        self._burst_s = burst * self._token_s
        self._clock = clock
        self._full_at: dict[Hashable, float] = {}

    def take(self, name: Hashable, tokens: float) -> float:
        """0 where they were taken, else the seconds to wait; more than `burst` at once is taken from a full bucket."""
        if not self._token_s:
            return 0.0
        now = self._clock.monotonic()
        full_at = self._full_at.get(name, now)
        if full_at < now:
            full_at = now
        asked = tokens if tokens < self._burst else self._burst
        wait = full_at - now + asked * self._token_s - self._burst_s
        if wait > JITTER_S:
            return wait
        self._full_at[name] = full_at + tokens * self._token_s
        if len(self._full_at) > MAX_KEPT:
            self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        """Half of the table at least, so that it is rare."""
        emptier = [(full_at, name) for name, full_at in self._full_at.items() if full_at > now]
        emptier.sort(key=itemgetter(0), reverse=True)
        self._full_at = {name: full_at for full_at, name in emptier[: MAX_KEPT // 2]}


class CallerLimits:
    """How often one member, and all members of a workspace together, may ask this replica.

    What a member's own limit refuses takes nothing from the workspace: one who insists leaves the others theirs.
    """

    def __init__(self, settings: AuthSettings, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self._members = TokenBuckets(settings.member_rate, settings.member_burst, clock)
        self._workspaces = TokenBuckets(settings.workspace_rate, settings.workspace_burst, clock)

    def admit(self, principal: Principal) -> None:
        """One request of a verified caller. Problem 429."""
        if wait := self._members.take((principal.workspace, principal.member_id), 1):
            raise too_many_requests("You send more requests than a member may.", wait)
        if wait := self._workspaces.take(principal.workspace, 1):
            raise too_many_requests("The members of this workspace send more requests than they may together.", wait)
