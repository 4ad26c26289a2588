"""A gateway replica without Kafka and sockets: a log in memory, wires that take as many bytes as they are told."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from services.gateway.stream.backfill import Backfill, BackfillSettings
from services.gateway.stream.catchup import CatchUp
from services.gateway.stream.cursor import Cursors
from services.gateway.stream.feed import Feed
from services.gateway.stream.hub import Hub
from services.gateway.stream.intake import Intake
from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.subscriber import Stage, Subscriber
from shared.runtime.metrics import Metrics
from shared.runtime.records import Record
from shared.runtime.tracing import OFF, Tracing
from tests.unit.gateway.stream.frames_read import split

TOPIC = "workspace.events"
HIGH, LOW = 200, 50
"""A wire asks for a pause above, and goes on below, so many bytes: about one event."""


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0
        self.step = 0.0  # passes with each look at the clock

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        self.seconds += self.step
        return self.seconds


def record(offset: int, workspace: str, conversation: str, seq: int | None, **headers: str) -> Record:
    named = {"type": "relaydesk.message.received.v1", "subject": conversation, "causationid": f"{conversation}-{seq}"}
    named |= {"seq": str(seq)} if seq is not None else {}
    named |= headers
    value = json.dumps({"subject": conversation, "seq": seq, "audience": headers.get("audience")}).encode()
    encoded = {name: text.encode() for name, text in named.items()}
    return Record(TOPIC, 0, offset, workspace.encode(), value, encoded, 0)


@dataclass
class Log:
    """One partition. `firsts`: the offsets of what is no repeat; `begin`: the first that retention has left."""

    records: list[Record] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    last: dict[tuple[str, str], int] = field(default_factory=dict)
    begin: int = 0
    reads: int = 0
    away: bool = False

    @property
    def end(self) -> int:
        return len(self.records)

    def publish(self, workspace: str, conversation: str, **headers: str) -> None:
        seq = self.last[workspace, conversation] = self.last.get((workspace, conversation), 0) + 1
        self.firsts.append(self.end)
        self.append(record(self.end, workspace, f"{workspace}-{conversation}", seq, **headers))

    def append(self, one: Record) -> None:
        self.records.append(replace(one, offset=self.end))

    def redeliver(self, distance: int) -> None:
        """What a crashed router does: everything since `distance` records ago again, each conversation in seq order."""
        for one in sorted(self.records[-distance:], key=_conversation_and_seq):
            again = self.records[-1] if self.records else None
            if again is None or _conversation_and_seq(again) != _conversation_and_seq(one):
                self.append(one)

    async def read(self, partition: int, first: int, end: int) -> Sequence[Record]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionError("the log is away")
        return self.records[max(first, self.begin) : end]


def _conversation_and_seq(one: Record) -> tuple[bytes, int]:
    return one.headers["subject"], int(one.headers["seq"])


class Client:
    """Keeps what arrives; comes back with its last cursor. Also its own wire: `take` is the peer reading from it."""

    def __init__(self, workspace: str, member_id: str = "ann") -> None:
        self.workspace, self.member_id = workspace, member_id
        self.cursor = ""
        self.replica: Replica | None = None
        self.subscriber: Subscriber | None = None
        self.frames: list[dict[str, Any]] = []
        self.closed: list[int] = []
        self.writes = 0
        self._buffer = b""
        self._arrived = b""

    @property
    def events(self) -> list[tuple[str, int]]:
        return [(f["event"]["subject"], f["event"]["seq"]) for f in self.frames if f["type"] == "event"]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    def connect(self, replica: "Replica", cursor: str | None = None) -> "Client":
        self.replica, self._buffer, self._arrived = replica, b"", b""
        self.subscriber = Subscriber(self.workspace, self.member_id, self)
        replica.hub.enter(self.subscriber)
        begin = self.cursor if cursor is None else cursor
        replica.catch_up.begin(self.subscriber, begin)
        return self

    def cut(self) -> None:
        """What is on its way is lost."""
        if self.replica and self.subscriber:
            self.replica.hub.leave(self.subscriber)
            self.replica.catch_up.forget(self.subscriber)
        self.replica = None

    def take(self, size: int = 1 << 30) -> None:
        """Read so many bytes, as far as there are any."""
        while self._buffer and size > 0:
            taken, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(taken)
            whole, self._arrived = split(self._arrived + taken)
            for payload in whole:
                self._keep(json.loads(payload))
            self._go_on()

    def _go_on(self) -> None:
        if self.replica and self.subscriber and self.subscriber.congested and len(self._buffer) <= LOW:
            self.replica.hub.congested(self.subscriber, False)
            self.replica.catch_up.pump(self.subscriber)

    def _keep(self, frame: dict[str, Any]) -> None:
        self.cursor = frame.get("cursor", self.cursor)
        self.frames.append(frame)

    # the wire

    def write(self, data: bytes) -> None:
        self.writes += 1
        assert self.subscriber is None or self.subscriber.stage is not Stage.CLOSED
        self._buffer += data
        if self.replica and self.subscriber and len(self._buffer) > HIGH and not self.subscriber.congested:
            self.replica.hub.congested(self.subscriber, True)

    def buffered(self) -> int:
        return len(self._buffer)

    def close(self, code: int, reason: str) -> None:
        self.closed.append(code)
        self.replica = None


SMALL = StreamSettings(
    key=b"key",
    ring_entries=5,
    buffer_bytes=2_000,
    slice_bytes=400,
    replay_offsets=10_000,
    backfill=BackfillSettings(block=4, overlap=16, parallel=2, cache_bytes=20_000),
)


class Replica:
    """Reads the log when told to; `start` is where its look-back begins."""

    def __init__(
        self,
        log: Log,
        settings: StreamSettings = SMALL,
        start: int = 0,
        incarnation: str = "one",
        tracing: Tracing = OFF,
    ) -> None:
        self.log, self.clock, self.metrics = log, FakeClock(), Metrics()
        max_age = settings.cursor_max_age.total_seconds()
        self.cursors = Cursors(settings.key, lambda: incarnation, self.clock, max_age)
        intake = Intake(self.cursors)
        self.hub = Hub(intake, settings, self.metrics, self.clock, tracing)
        self.backfill = Backfill(log.read, intake, settings.backfill)
        self.catch_up = CatchUp(self.hub, self.backfill, self.cursors, settings, self.clock)
        self.feed = Feed(self.hub, self.catch_up)
        self.position = start
        self.hub.begin({0: start})

    def read(self, count: int = 1 << 30) -> None:
        records = self.log.records[self.position : self.position + count]
        self.position += len(records)
        self.feed.on_records(records)

    def cursor(self, offset: int, workspace: str = "acme") -> str:
        return self.cursors.mint(workspace, 0, offset)


async def settle() -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(200):
        await asyncio.sleep(0)
