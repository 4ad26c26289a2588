"""The gateway's own stream server without Kafka: records are given to its hub."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from services.gateway.stream.backfill import Backfill, BackfillSettings
from services.gateway.stream.catchup import CatchUp
from services.gateway.stream.cursor import Cursors
from services.gateway.stream.feed import Feed
from services.gateway.stream.front import Front
from services.gateway.stream.gate import Gate
from services.gateway.stream.hub import Hub
from services.gateway.stream.intake import Intake
from services.gateway.stream.server import StreamServer
from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.subscriber import Subscriber
from services.gateway.stream.ticket import Pass, Tickets
from shared.contracts.resources import Presence
from shared.runtime.clock import SystemClock
from shared.runtime.metrics import Metrics
from shared.runtime.records import Record

WORKSPACE = "acme"
VALUE = b'{"data":{"text":"' + b"x" * 480 + b'"}}'


class _Nobody:
    """Whom typing and presence are told: they go through Kafka, which isn't here."""

    def entered(self, subscriber: Subscriber) -> None: ...
    def left(self, subscriber: Subscriber) -> None: ...
    def types(self, subscriber: Subscriber, conversation_id: str) -> None: ...
    def says(self, subscriber: Subscriber, state: Presence) -> None: ...


class Gateway(NamedTuple):
    hub: Hub
    feed: Feed
    front: Front
    stream: StreamServer
    tickets: Tickets
    buffer_bytes: int

    async def start(self) -> None:
        self.front.start()
        await self.stream.start()

    def take(self, records: list[Record]) -> None:
        """As the live stream does with what it has read."""
        self.feed.on_records(records)

    @property
    def port(self) -> int:
        return int(self.stream.address.split(":")[2].split("/")[0])

    def issue(self, count: int) -> list[str]:
        now = time.time()
        holder = Pass(WORKSPACE, "ann", "agent", now + 86_400)
        return [self.tickets.issue(holder, now, str(number)) for number in range(count)]


def gateway(heartbeat_s: float, joins: bool = False) -> Gateway:
    """`joins`: hold events of bursts for a moment, as it does outside of this bench."""
    settings, clock = StreamSettings(key=b"bench", heartbeat_s=heartbeat_s, ring_entries=1_000), SystemClock()
    settings = settings if joins else replace(settings, join_s=0)
    cursors = Cursors(settings.key, lambda: "one", clock, settings.cursor_max_age.total_seconds())
    intake = Intake(cursors)
    hub = Hub(intake, settings, Metrics(), clock)
    hub.begin({0: 0})
    catch_up = CatchUp(hub, Backfill(_nothing, intake, BackfillSettings()), cursors, settings, clock)
    front = Front(hub, catch_up, _Nobody(), settings, clock)
    tickets = Tickets(settings.key, 3600)
    gate = Gate(tickets, settings, lambda: datetime.now(UTC).timestamp())
    return Gateway(hub, Feed(hub, catch_up), front, StreamServer(gate, front, settings), tickets, settings.buffer_bytes)


def record(offset: int) -> Record:
    headers = {"type": b"t", "subject": b"c", "seq": b"%d" % (offset + 1), "causationid": b"cause"}
    return Record("workspace.events", 0, offset, WORKSPACE.encode(), VALUE, headers, 0)


async def _nothing(partition: int, first: int, end: int) -> list[Record]:
    return []
