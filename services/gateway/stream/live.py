"""The live stream put together: a reader of `workspace.events`, the hub, and the WebSocket server."""

import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack

from starlette.responses import Response

from services.gateway.stream import codes
from services.gateway.stream.backfill import Backfill
from services.gateway.stream.catchup import CatchUp
from services.gateway.stream.cursor import Cursors
from services.gateway.stream.ephemeral import Ephemeral
from services.gateway.stream.event_source import EventSource
from services.gateway.stream.feed import Feed
from services.gateway.stream.front import Front
from services.gateway.stream.gate import Admitted, Gate, Refused
from services.gateway.stream.hub import Hub
from services.gateway.stream.intake import Intake
from services.gateway.stream.log_reader import LogReader
from services.gateway.stream.server import StreamServer
from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.sse import Encoder
from services.gateway.stream.ticket import Pass, Ticket, Tickets
from shared.contracts.resources import Presence
from shared.contracts.times import to_timestamp
from shared.contracts.topics import WORKSPACE_EVENTS
from shared.runtime.auth import Principal
from shared.runtime.clock import Clock
from shared.runtime.incarnations import Incarnations
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.problems import Problem
from shared.runtime.producer import Publisher
from shared.runtime.tail import LookBack


class LiveStream:
    """A component; start it after `incarnations`. Once started, this replica knows the recent events and listens."""

    def __init__(
        self,
        messaging: Messaging,
        incarnations: Incarnations,
        settings: StreamSettings,
        clock: Clock,
        metrics: Metrics,
        producer: Publisher,
    ) -> None:
        def incarnation() -> str:
            return incarnations.of(WORKSPACE_EVENTS)

        self._settings, self._clock = settings, clock
        self._cursors = Cursors(
            settings.key, incarnation, clock, settings.cursor_max_age.total_seconds(), settings.accepted_keys
        )
        self._tickets = Tickets(settings.key, settings.ticket_lifetime.total_seconds(), settings.accepted_keys)
        intake = Intake(self._cursors)
        self._hub = Hub(intake, settings, metrics, clock, messaging.tracing)
        self._log = LogReader(messaging)
        self._backfill = Backfill(self._log.read, intake, settings.backfill)
        self._catch_up = CatchUp(self._hub, self._backfill, self._cursors, settings, clock)
        gate = Gate(self._tickets, settings, self._now)
        self._feed = Feed(self._hub, self._catch_up)
        self._ephemeral = Ephemeral(messaging, producer, self._hub, settings, clock, metrics)
        self._front = Front(self._hub, self._catch_up, self._ephemeral, settings, clock)
        self._server = StreamServer(gate, self._front, settings)
        self._encoder = Encoder()
        look_back = LookBack(settings.lookback_s, settings.lookback_records)
        self._tail = messaging.tail(WORKSPACE_EVENTS, self._feed.on_records, look_back)
        self._started = AsyncExitStack()

    async def start(self) -> None:
        """Transient while Kafka is away: call again. Fatal where the log contradicts itself or the topic is missing."""
        async with AsyncExitStack() as undo:
            undo.callback(self._feed.stop)
            undo.push_async_callback(self._log.stop)
            await self._log.start()
            undo.push_async_callback(self._tail.stop)
            await self._tail.start()
            self._hub.begin(self._tail.starts)  # before the reader gets its first turn
            await self._tail.wait_caught_up()
            undo.push_async_callback(self._ephemeral.stop)
            await self._ephemeral.start()
            undo.push_async_callback(self._backfill.stop)
            undo.callback(self._front.stop)
            self._front.start()
            undo.push_async_callback(self.drain)
            undo.push_async_callback(self._server.stop)
            await self._server.start()
            self._started = undo.pop_all()

    async def drain(self) -> None:
        """Send everybody away within `drain_s`, still delivering to those who are left. Repeatable."""
        await self._server.stop()
        await self._front.drain()

    async def stop(self) -> None:
        """Drain, then close."""
        await self._started.aclose()

    def progress(self) -> str | None:
        """For liveness."""
        return self._tail.progress() or self._ephemeral.progress()

    async def ready(self) -> str | None:
        """For readiness."""
        return await self._tail.ready()

    def cursor_at(self, workspace: str, partition: int, offset: int) -> str:
        """A cursor of a reader's position: `offset` is the first one that it has *not* seen."""
        return self._cursors.mint(workspace, partition, offset - 1)

    def partition_of(self, workspace: str) -> int:
        """The partition of `workspace.events` with this workspace's events, once started."""
        return self._hub.partition_of(workspace)

    def on_final(self, callback: Callable[[str], None]) -> None:
        """Have `callback(command id)` called when this replica reads the last event, or the outcome, of a command."""
        self._hub.on_final(callback)

    def ticket(self, principal: Principal) -> Ticket:
        now = self._clock.now()
        text = self._tickets.issue(_pass(principal), now.timestamp(), secrets.token_urlsafe(12))
        ends = to_timestamp(now + self._settings.ticket_lifetime)
        return Ticket(text, self._settings.url or self._server.address, ends)

    def event_source(self, principal: Principal, cursor: str) -> Response:
        """The answer to `GET /v1/events`. Problem 503 while draining, or full."""
        try:
            self._front.check_room()
        except Refused as refused:
            self._front.count_refused(refused.code)
            raise Problem(refused.status, refused.code, refused.detail, headers={"Retry-After": "1"}) from None
        return EventSource(Admitted(_pass(principal), cursor), self._front, self._encoder)

    def refuse_member(self, workspace: str, member_id: str) -> None:
        """Close the member's sockets with 4003; tickets issued until now are worth nothing. Repeatable."""
        self._tickets.refuse(workspace, member_id, self._now())
        for subscriber in self._hub.members(workspace, member_id):
            self._hub.dismiss(subscriber, codes.FORBIDDEN, "this member is deactivated")
        self._ephemeral.dismissed(workspace, member_id)

    def presence_of(self, workspace: str, member_id: str) -> Presence:
        """As this replica has read it: the same on all within moments."""
        return self._ephemeral.presence_of(workspace, member_id)

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _pass(principal: Principal) -> Pass:
    return Pass(principal.workspace, principal.member_id, principal.role, principal.expires_at.timestamp())
