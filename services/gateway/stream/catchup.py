"""From a cursor to the live events: each new subscriber gets what it missed at its own pace, then every batch.

No task per subscriber: `pump` writes until the wire asks for a pause or a range has to come from Kafka, and is called
again when that is over. Nothing queues up for a subscriber meanwhile: later events wait in the ring, or in Kafka.
"""

import asyncio
from collections import deque

import structlog

from services.gateway.stream import codes, frames, resume
from services.gateway.stream.backfill import Backfill, Block
from services.gateway.stream.cursor import CursorRefused, Cursors
from services.gateway.stream.entry import visible
from services.gateway.stream.hub import Hub
from services.gateway.stream.repeats import Divergence
from services.gateway.stream.resume import Decision, Known, Reason
from services.gateway.stream.ring import Stretch
from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.subscriber import Stage, Subscriber
from shared.runtime.clock import Clock

ARRIVALS_PER_TURN = 32

_Place = tuple[int, int]
"""Of a subscriber: its position, and how much is buffered for it. The same some time later: it took nothing."""

SLICES_PER_TURN = 8
"""After so many a fast reader's long replay gives way to everybody else."""

log = structlog.get_logger(__name__)


class CatchUp:
    def __init__(self, hub: Hub, backfill: Backfill, cursors: Cursors, settings: StreamSettings, clock: Clock) -> None:
        self._hub, self._backfill, self._cursors, self._settings = hub, backfill, cursors, settings
        self._clock = clock
        self._ahead: dict[Subscriber, float] = {}
        self._stuck: dict[Subscriber, tuple[_Place, float]] = {}
        self._arrived: deque[tuple[Subscriber, str]] = deque()
        self._begun = 0  # in this turn of the loop
        self._turn_counted = False

    def begin(self, subscriber: Subscriber, cursor: str) -> None:
        """A new subscriber that has entered; an empty cursor is none. In a storm of reconnects it waits in line: so
        many replays begin in one turn of the loop that live events of the others get through in between."""
        if self._arrived or self._begun >= ARRIVALS_PER_TURN:
            self._arrived.append((subscriber, cursor))
        else:
            self._begin(subscriber, cursor)
        if not self._turn_counted:
            self._turn_counted = True
            asyncio.get_running_loop().call_soon(self._turned)

    def _turned(self) -> None:
        self._begun = 0
        while self._arrived and self._begun < ARRIVALS_PER_TURN:
            subscriber, cursor = self._arrived.popleft()
            if subscriber.stage is not Stage.CLOSED:
                self._begin(subscriber, cursor)
        self._turn_counted = self._begun > 0
        if self._turn_counted:
            asyncio.get_running_loop().call_soon(self._turned)

    def _begin(self, subscriber: Subscriber, cursor: str) -> None:
        self._begun += 1
        decision = self._decision(subscriber, cursor)
        subscriber.position = decision.after
        self._hub.count_resume(decision)
        match decision.way:
            case "live":
                self._welcome(subscriber, recovered=False)
            case "ring":
                self._welcome(subscriber, recovered=True)
            case "kafka":
                self._fetch(subscriber)
            case "ahead":
                self._ahead[subscriber] = self._clock.monotonic() + self._settings.ahead_s
            case "snapshot":
                self._require_snapshot(subscriber, decision.reason or "invalid")

    def pump(self, subscriber: Subscriber) -> None:
        """Write what the wire takes; at the end of what there is the subscriber is live."""
        for _ in range(SLICES_PER_TURN):
            if subscriber.stage is not Stage.CATCHING_UP or subscriber.congested:
                return
            found = self._next(subscriber)
            if found is None:
                self._fetch(subscriber)
                return
            self._write(subscriber, found)
        if subscriber.stage is Stage.CATCHING_UP:
            asyncio.get_running_loop().call_soon(self.pump, subscriber)

    def advanced(self) -> None:
        """The hub has read on: who was ahead of it may begin, and who got a large batch begins with it."""
        for subscriber in self._hub.take_late():
            self.pump(subscriber)
        for subscriber in [s for s in self._ahead if self._hub.ring_of(s).last >= s.position]:
            del self._ahead[subscriber]
            self._welcome(subscriber, recovered=True)

    def tick(self, now: float) -> None:
        """Where the log doesn't get to a cursor within a moment, it never was there; who takes nothing, must go."""
        self._dismiss_stuck(now)
        for subscriber in [s for s, deadline in self._ahead.items() if deadline <= now]:
            del self._ahead[subscriber]
            self._require_snapshot(subscriber, "future")

    def forget(self, subscriber: Subscriber) -> None:
        self._ahead.pop(subscriber, None)
        self._stuck.pop(subscriber, None)

    def cursor_of(self, subscriber: Subscriber) -> str:
        """Where it stands: what it has been written, it has."""
        partition = self._hub.room(subscriber).partition
        offset = self._hub.given_upto(subscriber) if subscriber.stage is Stage.LIVE else subscriber.position
        return self._cursors.mint(subscriber.workspace, partition, offset)

    def _dismiss_stuck(self, now: float) -> None:
        """What waits for a live subscriber is in its buffer, and bounded there. What waits for one that was live until
        a large batch came is in the ring: it counts alike. A replay may take as long as its reader likes."""
        stuck: dict[Subscriber, tuple[_Place, float]] = {}
        for subscriber in [subscriber for subscriber in self._hub.waiting() if subscriber.late]:
            place = subscriber.position, subscriber.wire.buffered()
            known, since = self._stuck.get(subscriber, (place, now))
            stuck[subscriber] = place, since if place == known else now
        self._stuck = stuck
        for subscriber, (_, since) in stuck.items():
            if now - since >= self._settings.stuck_s and self._owes_too_much(subscriber):
                self._hub.dismiss(subscriber, codes.TOO_SLOW, "too slow: resume")

    def _owes_too_much(self, subscriber: Subscriber) -> bool:
        ring, after = self._hub.ring_of(subscriber), subscriber.position
        if not ring.covers(after):
            return True
        return ring.after(subscriber.workspace, after, self._settings.buffer_bytes).upto < ring.last

    def _decision(self, subscriber: Subscriber, cursor: str) -> Decision:
        ring, partition = self._hub.ring_of(subscriber), self._hub.room(subscriber).partition
        known = Known(partition, ring.start, ring.last, self._settings.replay_offsets)
        try:
            return resume.decide(self._cursors.parse(cursor, subscriber.workspace) if cursor else None, known)
        except CursorRefused as refused:
            return resume.refuse(refused.reason, known)

    def _welcome(self, subscriber: Subscriber, recovered: bool) -> None:
        cursor = self.cursor_of(subscriber)
        subscriber.write(frames.welcome(cursor, recovered, self._settings.heartbeat_s))
        subscriber.stage = Stage.CATCHING_UP
        self.pump(subscriber)

    def _require_snapshot(self, subscriber: Subscriber, reason: Reason) -> None:
        subscriber.position = self._hub.ring_of(subscriber).last
        cursor = self.cursor_of(subscriber)
        welcome = frames.welcome(cursor, False, self._settings.heartbeat_s)
        subscriber.write(welcome + frames.snapshot_required(cursor, reason))
        subscriber.stage = Stage.CATCHING_UP
        self.pump(subscriber)

    def _next(self, subscriber: Subscriber) -> Stretch | None:
        ring = self._hub.ring_of(subscriber)
        if ring.covers(subscriber.position):
            return ring.after(subscriber.workspace, subscriber.position, self._settings.slice_bytes)
        block = self._backfill.held(self._hub.room(subscriber).partition, subscriber.position + 1)
        return block.after(subscriber.workspace, subscriber.position, self._settings.slice_bytes) if block else None

    def _write(self, subscriber: Subscriber, found: Stretch) -> None:
        data = visible(found.entries, subscriber.tag)
        if data:
            subscriber.write(data)
        subscriber.position = found.upto
        if found.upto == self._hub.ring_of(subscriber).last:
            self._hub.go_live(subscriber)
            for late in self._hub.take_late():
                asyncio.get_running_loop().call_soon(self.pump, late)

    def _fetch(self, subscriber: Subscriber) -> None:
        """Ask for the block of the next offset; a subscriber that is not welcome yet stays OPENING."""
        if subscriber.stage is not Stage.OPENING:
            subscriber.stage = Stage.FETCHING
        partition, offset = self._hub.room(subscriber).partition, subscriber.position + 1
        block = self._backfill.held(partition, offset)
        if block is not None:
            self._fetched(subscriber, block)
        else:
            end = self._hub.ring_of(subscriber).last + 1
            self._backfill.fetch(partition, offset, end, lambda answer: self._fetched(subscriber, answer))

    def _fetched(self, subscriber: Subscriber, answer: Block | Exception) -> None:
        if subscriber.stage is Stage.CLOSED:
            return
        refusal = _refusal(answer, subscriber.position + 1)
        if subscriber.stage is Stage.OPENING:
            if refusal is None:
                self._welcome(subscriber, recovered=True)
            else:
                self._require_snapshot(subscriber, refusal)
        elif refusal is None:
            subscriber.stage = Stage.CATCHING_UP
            self.pump(subscriber)
        else:
            self._hub.dismiss(subscriber, codes.GOING_AWAY, f"replay interrupted ({refusal}): resume")


def _refusal(answer: Block | Exception, offset: int) -> Reason | None:
    """Why the events from `offset` on can't be served, or None: they can."""
    if isinstance(answer, Block):
        return None if answer.start <= offset < answer.end else "expired"
    if isinstance(answer, Divergence):
        log.error("the log contradicts itself in a range that a client asked for", error=str(answer))
        return "diverged"
    log.warning("a range could not be read for a client", error=repr(answer))
    return "unavailable"
