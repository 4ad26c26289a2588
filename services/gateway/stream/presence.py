"""Who of a workspace is there: leases, which replicas renew for the members connected to them. Pure.

A page that was cut off, or slowed down by its browser, is back before its lease ends, and nobody notices. Times are
seconds of one monotonic clock.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

from services.gateway.stream.wheel import Wheel
from shared.contracts.resources import Presence

Who = tuple[str, str]
"""(workspace, member)"""

_RANK: dict[Presence, int] = {"offline": 0, "away": 1, "online": 2}


def best(states: list[Presence]) -> Presence:
    """One who is online anywhere is online."""
    return max(states, key=_RANK.__getitem__, default="offline")


@dataclass(slots=True)
class _Lease:
    state: Presence
    until: float


class Presences:
    """What all replicas have said, as this one has read it."""

    def __init__(self, now: float, tick_s: float) -> None:
        self._leases: dict[Who, dict[str, _Lease]] = {}
        self._ends: Wheel[tuple[Who, str]] = Wheel(now, tick_s)

    def of(self, who: Who) -> Presence:
        return best([lease.state for lease in self._leases.get(who, {}).values()])

    def note(self, who: Who, replica: str, state: Presence, until: float) -> Presence | None:
        """What a replica says of a member. Answers what the member is now, if that is news."""
        before = self.of(who)
        if state == "offline":
            self._end(who, replica)
        else:
            leases = self._leases.setdefault(who, {})
            if replica not in leases:
                self._ends.add(until, (who, replica))
            leases[replica] = _Lease(state, until)
        after = self.of(who)
        return after if after != before else None

    def turn(self, now: float) -> list[tuple[Who, Presence]]:
        """Whom a lease that has ended makes another."""
        news = []
        for who, replica in self._ends.turn(now):
            lease = self._leases.get(who, {}).get(replica)
            if lease is None:
                continue
            if lease.until > now:
                self._ends.add(lease.until, (who, replica))
                continue
            before = self.of(who)
            self._end(who, replica)
            if (after := self.of(who)) != before:
                news.append((who, after))
        return news

    def _end(self, who: Who, replica: str) -> None:
        leases = self._leases.get(who, {})
        leases.pop(replica, None)
        if not leases:
            self._leases.pop(who, None)


@dataclass(slots=True)
class _Here:
    states: dict[Hashable, Presence] = field(default_factory=dict)
    said: Presence | None = None
    renew_at: float = 0.0

    @property
    def state(self) -> Presence:
        return best(list(self.states.values()))


class Attendance:
    """Who is connected to this replica, what their pages say of them, and what is to be told to the other replicas.

    Whoever leaves is not taken back: what was said holds until its lease ends, unless it is renewed.
    """

    def __init__(self, now: float, tick_s: float, renew_s: float) -> None:
        self._here: dict[Who, _Here] = {}
        self._news: dict[Who, Presence] = {}
        self._renewals: Wheel[Who] = Wheel(now, tick_s)
        self._renew_s = renew_s

    def entered(self, who: Who, page: Hashable) -> None:
        self.says(who, page, "online")

    def says(self, who: Who, page: Hashable, state: Presence) -> None:
        here = self._here.setdefault(who, _Here())
        here.states[page] = state
        self._compare(who, here)

    def left(self, who: Who, page: Hashable) -> None:
        here = self._here.get(who)
        if here is None:
            return
        here.states.pop(page, None)
        if not here.states:
            del self._here[who]
            if self._news.get(who) != "offline":  # a goodbye is still to be told
                self._news.pop(who, None)

    def dismissed(self, who: Who) -> None:
        """Offline at once, whatever the pages say."""
        here = self._here.get(who)
        if here is not None:
            here.states = dict.fromkeys(here.states, "offline")
            self._compare(who, here)

    @property
    def has_news(self) -> bool:
        return bool(self._news)

    def due(self, now: float) -> list[tuple[Who, Presence]]:
        """What is to be told now: news, and leases to be renewed."""
        told = {who: self._here[who].state for who in self._renewals.turn(now) if self._is_to_renew(who, now)}
        told |= self._news
        self._news = {}
        for who, state in told.items():
            self._note_told(who, state, now)
        return list(told.items())

    def not_told(self, lost: list[tuple[Who, Presence]]) -> None:
        """It didn't work: say it again."""
        self._news = dict(lost) | self._news

    def _compare(self, who: Who, here: _Here) -> None:
        if here.state != here.said:
            self._news[who] = here.state
        else:
            self._news.pop(who, None)

    def _is_to_renew(self, who: Who, now: float) -> bool:
        here = self._here.get(who)
        return here is not None and here.said != "offline" and here.renew_at <= now

    def _note_told(self, who: Who, state: Presence, now: float) -> None:
        here = self._here.get(who)
        if here is not None:
            here.said, here.renew_at = state, now + self._renew_s
            self._renewals.add(here.renew_at, who)
