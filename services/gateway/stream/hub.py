"""What this replica has read of `workspace.events`, and who is connected to it.

Everything is synchronous on one event loop: between two calls no subscriber misses a record and none gets one twice.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from services.gateway.stream import codes
from services.gateway.stream.entry import Entry
from services.gateway.stream.intake import Intake, Malformed, caused_at
from services.gateway.stream.repeats import Divergence, Repeats
from services.gateway.stream.resume import Decision
from services.gateway.stream.ring import Ring
from services.gateway.stream.room import Room
from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.subscriber import Passing, Stage, Subscriber
from shared.runtime.clock import Clock
from shared.runtime.faults import Fatal
from shared.runtime.metrics import Metrics
from shared.runtime.producer import partition_for
from shared.runtime.records import Record
from shared.runtime.traced_records import received
from shared.runtime.tracing import OFF, Tracing

JOIN_SHARE = 6
"""So many times as long as a delivery took may the next one wait: at most a seventh of the time goes into writing."""


class Hub:
    def __init__(
        self, intake: Intake, settings: StreamSettings, metrics: Metrics, clock: Clock, tracing: Tracing = OFF
    ) -> None:
        self._intake, self._settings, self._metrics, self._clock = intake, settings, metrics, clock
        self._tracing = tracing
        self._rings: dict[int, Ring] = {}
        self._repeats: dict[int, Repeats] = {}
        self._rooms: dict[str, Room] = {}
        self._congested: set[Subscriber] = set()
        self._late: list[Subscriber] = []
        self._keeping: set[Subscriber] = set()
        self._holding: set[Room] = set()
        self._on_final: list[Callable[[str], None]] = []
        self._repeated = metrics.counter("stream_repeats")
        self._malformed = metrics.counter("stream_malformed")
        self._events = metrics.counter("stream_events")
        self._took = metrics.histogram("accept_to_stream_seconds")
        self._sockets = metrics.gauge("stream_sockets")

    def on_final(self, callback: Callable[[str], None]) -> None:
        self._on_final.append(callback)

    def begin(self, starts: Mapping[int, int]) -> None:
        """Where reading begins in every partition of the topic. Before the first record."""
        for partition, start in starts.items():
            self._rings[partition] = Ring(start, self._settings.ring_bytes, self._settings.ring_entries)
            self._repeats[partition] = Repeats()

    def partition_of(self, workspace: str) -> int:
        return partition_for(workspace, len(self._rings))

    def ring_of(self, subscriber: Subscriber) -> Ring:
        return self._rings[self._rooms[subscriber.workspace].partition]

    def on_records(self, records: Sequence[Record]) -> None:
        """Remember a batch and write it to all who are live, or hold it for a moment where rooms are busy with the last
        one (see `flush`). Fatal: the log contradicts itself."""
        batch: dict[str, list[Entry]] = defaultdict(list)
        now = self._clock.now().timestamp()
        for record in records:
            entry = self._remember(record)
            if entry is not None:
                batch[entry.workspace].append(entry)
                if (room := self._rooms.get(entry.workspace)) is not None:
                    self._watch(room, record, entry, now)
        for workspace, entries in batch.items():
            room = self._rooms.get(workspace)
            if room is not None:
                self._deliver_or_hold(room, entries)
        self._dismiss_slow()

    def _watch(self, room: Room, record: Record, entry: Entry, now: float) -> None:
        if (begun := caused_at(record)) is not None:
            self._took.observe(max(0.0, now - begun))
        if self._tracing.on and (span := received(self._tracing, record, "stream")) is not None:
            room.traced.append((entry, span))

    def held_for(self) -> float | None:
        """Seconds until something that is held may go out; None: nothing is."""
        if not self._holding:
            return None
        return max(0.0, min([room.free_at for room in self._holding]) - self._clock.monotonic())

    def flush(self) -> None:
        """Deliver what is held and whose moment has come."""
        now = self._clock.monotonic()
        for room in [room for room in self._holding if room.free_at <= now]:
            self._deliver_held(room)
        self._dismiss_slow()

    def go_live(self, subscriber: Subscriber) -> None:
        """It has everything that has been read: so the others get first what is held for them."""
        room = self._rooms[subscriber.workspace]
        self._deliver_held(room)
        room.go_live(subscriber)

    def given_upto(self, subscriber: Subscriber) -> int:
        """The last offset that a live subscriber's writes account for."""
        held = self._rooms[subscriber.workspace].held
        return held[0].offset - 1 if held else self.ring_of(subscriber).last

    def _deliver_or_hold(self, room: Room, entries: list[Entry]) -> None:
        """Joining: the longer a room takes, the more of its events share one write per socket. When little happens, and
        in small rooms, nothing waits."""
        if self._clock.monotonic() < room.free_at:
            room.held += entries
            self._holding.add(room)
        else:
            self._deliver(room, room.held + entries)

    def _deliver_held(self, room: Room) -> None:
        if room.held:
            self._deliver(room, room.held)

    def _deliver(self, room: Room, entries: list[Entry]) -> None:
        room.held = []
        self._holding.discard(room)
        begun = self._clock.monotonic()
        self._late += room.deliver(entries)
        if room.traced:
            room.end_traces()
        ended = self._clock.monotonic()
        room.free_at = ended + min(self._settings.join_s, JOIN_SHARE * (ended - begun))

    def tell(self, workspace: str, passing: Passing) -> None:
        """What isn't remembered: to who is connected now."""
        room = self._rooms.get(workspace)
        if room is not None:
            self._keeping.update(room.tell(passing))

    def forget_passed(self, now: float) -> None:
        """Drop what was kept for somebody and has passed meanwhile. `now`: monotonic seconds."""
        for subscriber in self._keeping:
            subscriber.forget_passed(now)
        self._keeping = {subscriber for subscriber in self._keeping if subscriber.kept}

    def take_late(self) -> list[Subscriber]:
        """Those who were live until a batch came that is too large for one write."""
        late, self._late = self._late, []
        return late

    def enter(self, subscriber: Subscriber) -> None:
        workspace = subscriber.workspace
        if workspace not in self._rooms:
            self._rooms[workspace] = Room(workspace, self.partition_of(workspace), self._settings.at_once_bytes)
        self._rooms[workspace].enter(subscriber)
        self._sockets.inc()

    def __contains__(self, subscriber: Subscriber) -> bool:
        room = self._rooms.get(subscriber.workspace)
        return room is not None and subscriber in room.subscribers

    def room(self, subscriber: Subscriber) -> Room:
        return self._rooms[subscriber.workspace]

    def leave(self, subscriber: Subscriber) -> None:
        """Repeatable."""
        if subscriber not in self:
            return
        room = self._rooms[subscriber.workspace]
        room.leave(subscriber)
        self._congested.discard(subscriber)
        self._keeping.discard(subscriber)
        self._sockets.dec()
        if not room.subscribers:
            del self._rooms[subscriber.workspace]
            self._holding.discard(room)

    def dismiss(self, subscriber: Subscriber, code: int, reason: str) -> None:
        """Out at once; the wire says goodbye."""
        self.leave(subscriber)
        self._metrics.counter("stream_dismissed", code=str(code)).inc()
        subscriber.wire.close(code, reason)

    def members(self, workspace: str, member_id: str) -> list[Subscriber]:
        room = self._rooms.get(workspace)
        return room.members(member_id) if room else []

    def count_resume(self, decision: Decision) -> None:
        self._metrics.counter("stream_resumes", outcome=decision.reason or decision.way).inc()

    def count_refused(self, code: str) -> None:
        self._metrics.counter("stream_refused", code=code).inc()

    def everybody(self) -> list[Subscriber]:
        return [subscriber for room in self._rooms.values() for subscriber in room.subscribers]

    def waiting(self) -> list[Subscriber]:
        """Those whose wire asked for a pause."""
        return list(self._congested)

    def congested(self, subscriber: Subscriber, is_congested: bool) -> None:
        """The wire's buffer passed its high or its low mark; who has left may still be taking the goodbye."""
        if subscriber not in self:
            return
        subscriber.congested = is_congested
        if is_congested:
            self._congested.add(subscriber)
        else:
            subscriber.stalled = False
            self._congested.discard(subscriber)
            subscriber.give_kept()

    def _remember(self, record: Record) -> Entry | None:
        ring = self._ring_for(record)
        try:
            taken = self._intake.take(record, self._repeats[record.partition])
        except Malformed:
            self._malformed.inc()
            ring.advance(record.offset)
            return None
        except Divergence as divergence:
            self._metrics.counter("stream_divergences").inc()
            raise Fatal(f"{record.topic} partition {record.partition} offset {record.offset}: {divergence}") from None
        if taken.final is not None:
            for callback in self._on_final:
                callback(taken.final)
        if taken.entry is None:
            self._repeated.inc()
            ring.advance(record.offset)
        else:
            self._events.inc()
            ring.append(taken.entry)
        return taken.entry

    def _ring_for(self, record: Record) -> Ring:
        ring = self._rings[record.partition]
        if record.offset != ring.last + 1:
            raise Fatal(f"{record.topic} partition {record.partition}: offset {record.offset} follows {ring.last}")
        return ring

    def _dismiss_slow(self) -> None:
        """Of those who are live: what a replay writes waits for its reader anyway."""
        live = [subscriber for subscriber in self._congested if subscriber.stage is Stage.LIVE]
        for subscriber in [s for s in live if s.wire.buffered() > self._settings.buffer_bytes]:
            self.dismiss(subscriber, codes.TOO_SLOW, "too slow: resume")
