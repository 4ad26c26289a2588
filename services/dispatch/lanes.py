"""Which lane's turn it is: one conversation is one lane, with one turn at a time.

Holds ids and times, never a message: a channel that is dead for a day costs a few hundred bytes per waiting
conversation. Fair between channels: the next turn goes to the channel that has waited longest for one, and inside of a
channel to the lane that has. Knows nothing of deliveries, databases or waiting.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from shared.runtime.records import Partition


@dataclass(frozen=True, slots=True)
class Limits:
    """Turns at the same time: of all lanes, and of the lanes of one channel."""

    total: int = 200
    per_channel: int = 20


@dataclass(slots=True, eq=False)
class Lane:
    """`at`: when its turn comes, None while queued or in its turn. `channel_id`: of whatever opened the lane.

    `touched`, `hurried`: something came in, or changed, that its turn may not have seen. `epoch`: the greatest fence
    that is known of; complete for what was stored since the lane is here, as long as it is `live`. `erased_to`: the
    same of erasures, a seq.
    """

    key: str
    partition: Partition
    channel_id: str
    at: datetime | None = None
    hurried: bool = False
    busy: bool = False
    touched: bool = False
    failures: int = 0
    epoch: int = 0
    erased_to: int = 0
    live: bool = True

    def fenced(self, epoch: int) -> None:
        self.epoch = max(self.epoch, epoch)


@dataclass(frozen=True, slots=True)
class Turn:
    """A lane in its turn. `hurried`: look at the head whatever it waits for."""

    lane: Lane
    hurried: bool


@dataclass(slots=True)
class _ChannelQueue:
    ready: deque[Lane] = field(default_factory=deque)
    busy: int = 0


class Lanes:
    """Belongs to one event loop; no call blocks."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lanes: dict[str, Lane] = {}
        self._timers: list[tuple[datetime, int, Lane]] = []
        self._ticket = 0
        self._channels: dict[str, _ChannelQueue] = {}
        self._turn: OrderedDict[str, None] = OrderedDict()
        self._busy = 0

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def busy(self) -> int:
        return self._busy

    def put(self, key: str, partition: Partition, channel_id: str, at: datetime) -> None:
        """There is something in this lane. One that waits goes on waiting for its head; one in its turn looks again."""
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = lane = Lane(key, partition, channel_id)
            self._schedule(lane, at)
        elif lane.busy:
            lane.touched = True

    def fence(self, key: str, epoch: int, now: datetime) -> None:
        """A fence of this conversation is stored: its head may be silenced by it, so look at it now."""
        lane = self._lanes.get(key)
        if lane is not None:
            lane.fenced(epoch)
            self._hurry(lane, now)

    def erase(self, key: str, up_to_seq: int, now: datetime) -> None:
        """Entries of this conversation have ended where they are stored: its head may be another, so look at it now."""
        lane = self._lanes.get(key)
        if lane is not None:
            lane.erased_to = max(lane.erased_to, up_to_seq)
            self.look(key, now)

    def look(self, key: str, now: datetime) -> None:
        """Something about this lane's entries was changed where they are stored: look at its head now."""
        lane = self._lanes.get(key)
        if lane is None:
            return
        if lane.busy:
            lane.touched = True
        elif lane.at is not None and lane.at > now:
            self._schedule(lane, now)

    def hurry_channel(self, channel_id: str, now: datetime) -> None:
        for lane in [lane for lane in self._lanes.values() if lane.channel_id == channel_id]:
            self._hurry(lane, now)

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Somebody else's from here on. Turns under way end by themselves, and their lanes don't come back."""
        gone = frozenset(partitions)
        for lane in [lane for lane in self._lanes.values() if lane.partition in gone]:
            self._forget(lane)

    def take(self, now: datetime) -> Turn | None:
        """The next lane to have its turn, within the limits; hand it back with `give_back`."""
        self._ripen(now)
        if self._busy >= self._limits.total:
            return None
        for channel_id in list(self._turn):
            lane = self._next_of(channel_id)
            if lane is not None:
                return self._begin(lane)
        return None

    def give_back(self, lane: Lane, at: datetime | None, now: datetime) -> None:
        """Its turn is over: again at `at`, or never (None) unless something came in meanwhile."""
        self._busy -= 1
        self._free(lane.channel_id)
        lane.busy = False
        if self._lanes.get(lane.key) is not lane:
            return
        if lane.touched or lane.hurried:
            at = now
        if at is None:
            self._forget(lane)
        else:
            self._schedule(lane, at)

    def next_at(self) -> datetime | None:
        """When a waiting lane's time comes; None while there is none."""
        while self._timers and not self._is_current(self._timers[0]):
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _forget(self, lane: Lane) -> None:
        lane.live = False
        del self._lanes[lane.key]

    def _schedule(self, lane: Lane, at: datetime) -> None:
        lane.at = at
        self._ticket += 1
        heapq.heappush(self._timers, (at, self._ticket, lane))
        if len(self._timers) > 2 * len(self._lanes) + 64:
            self._timers = [entry for entry in self._timers if self._is_current(entry)]
            heapq.heapify(self._timers)

    def _is_current(self, timer: tuple[datetime, int, Lane]) -> bool:
        at, _, lane = timer
        return lane.at == at and self._lanes.get(lane.key) is lane

    def _hurry(self, lane: Lane, now: datetime) -> None:
        lane.hurried = True
        if lane.at is not None and lane.at > now:
            self._schedule(lane, now)

    def _ripen(self, now: datetime) -> None:
        while (at := self.next_at()) is not None and at <= now:
            lane = heapq.heappop(self._timers)[2]
            lane.at = None
            self._channels.setdefault(lane.channel_id, _ChannelQueue()).ready.append(lane)
            self._turn.setdefault(lane.channel_id)

    def _next_of(self, channel_id: str) -> Lane | None:
        queue = self._channels[channel_id]
        while queue.ready and self._lanes.get(queue.ready[0].key) is not queue.ready[0]:
            queue.ready.popleft()
        if not queue.ready:
            del self._turn[channel_id]
            self._forget_idle(channel_id)
            return None
        return queue.ready.popleft() if queue.busy < self._limits.per_channel else None

    def _begin(self, lane: Lane) -> Turn:
        self._busy += 1
        self._channels[lane.channel_id].busy += 1
        self._turn.move_to_end(lane.channel_id)
        turn = Turn(lane, lane.hurried)
        lane.busy, lane.touched, lane.hurried = True, False, False
        return turn

    def _free(self, channel_id: str) -> None:
        self._channels[channel_id].busy -= 1
        self._forget_idle(channel_id)

    def _forget_idle(self, channel_id: str) -> None:
        queue = self._channels[channel_id]
        if not queue.busy and not queue.ready:
            del self._channels[channel_id]
            self._turn.pop(channel_id, None)
