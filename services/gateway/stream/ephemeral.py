"""Typing and presence through `workspace.ephemeral`: said on one replica, seen on all (DESIGN 5). May be lost."""

import asyncio
import json
import math
import secrets
import uuid
from collections.abc import Sequence
from contextlib import suppress

import structlog

from services.gateway.stream import frames
from services.gateway.stream.hub import Hub
from services.gateway.stream.presence import Attendance, Presences, Who
from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.subscriber import Passing, Subscriber
from shared.contracts.events import TYPE_OF, CloudEvent, PresenceChanged, Typing
from shared.contracts.resources import Presence
from shared.contracts.times import to_timestamp
from shared.contracts.topics import WORKSPACE_EPHEMERAL
from shared.runtime.clock import Clock
from shared.runtime.faults import Fatal, Transient
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.producer import Publisher
from shared.runtime.records import Outgoing, Record
from shared.runtime.tail import LookBack
from shared.runtime.tasks import ended

TYPING_S = 6.0
"""So long does it last (DESIGN 5)."""

TYPED_AGAIN_S = 1.0
"""More often it is not passed on."""

TURN_S = 0.5
JOIN_S = 0.03
"""What is said within it goes out as one batch."""

MOST_TYPING = 10_000
REPLICA = "replica"
MAX_RECORDS = 50_000

log = structlog.get_logger(__name__)


class Ephemeral:
    """A component. `presence_of` answers from what has been read; what is said goes through Kafka, also to oneself."""

    def __init__(
        self,
        messaging: Messaging,
        producer: Publisher,
        hub: Hub,
        settings: StreamSettings,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._producer, self._hub, self._settings, self._clock = producer, hub, settings, clock
        self._on_fatal = messaging.on_fatal
        self._replica = f"{messaging.client_id}-{secrets.token_hex(4)}"
        now = clock.monotonic()
        self._presences = Presences(now, TURN_S)
        self._attendance = Attendance(now, TURN_S, settings.presence_s / 3)
        self._typing: dict[tuple[Who, str], None] = {}
        self._typed: dict[tuple[Who, str], float] = {}
        self._wake = asyncio.Event()
        self._tail = messaging.tail(WORKSPACE_EPHEMERAL, self._on_records, LookBack(settings.presence_s, MAX_RECORDS))
        self._task: asyncio.Task[None] | None = None
        self._malformed = metrics.counter("stream_ephemeral_malformed")
        self._lost = metrics.counter("stream_ephemeral_lost")

    async def start(self) -> None:
        """Transient while Kafka is away; Fatal where the topic is missing."""
        await self._tail.start()
        await self._tail.wait_caught_up()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        await ended([self._task])
        await self._tail.stop()

    def progress(self) -> str | None:
        """For liveness."""
        return self._tail.progress()

    def presence_of(self, workspace: str, member_id: str) -> Presence:
        return self._presences.of((workspace, member_id))

    # what connections tell

    def entered(self, subscriber: Subscriber) -> None:
        self._attendance.entered(_who(subscriber), subscriber)
        self._wake_if_news()

    def says(self, subscriber: Subscriber, state: Presence) -> None:
        self._attendance.says(_who(subscriber), subscriber, state)
        self._wake_if_news()

    def types(self, subscriber: Subscriber, conversation_id: str) -> None:
        what, now = (_who(subscriber), conversation_id), self._clock.monotonic()
        if now - self._typed.get(what, -math.inf) < TYPED_AGAIN_S:
            return
        if len(self._typed) >= MOST_TYPING:
            self._lost.inc()
            return
        self._typed[what] = now
        self._typing[what] = None
        self._wake.set()

    def left(self, subscriber: Subscriber) -> None:
        self._attendance.left(_who(subscriber), subscriber)

    def dismissed(self, workspace: str, member_id: str) -> None:
        self._attendance.dismissed((workspace, member_id))
        self._wake_if_news()

    def _wake_if_news(self) -> None:
        if self._attendance.has_news:
            self._wake.set()

    # what goes out

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TURN_S):
                    await self._wake.wait()
            if self._wake.is_set():
                await asyncio.sleep(JOIN_S)
                self._wake.clear()
            self._turn()
            await self._publish()

    def _turn(self) -> None:
        now = self._clock.monotonic()
        self._hub.forget_passed(now)
        self._typed = {what: moment for what, moment in self._typed.items() if now - moment < TYPED_AGAIN_S}
        for who, state in self._presences.turn(now):
            self._tell_presence(who, state)

    async def _publish(self) -> None:
        typing, self._typing = self._typing, {}
        presence = self._attendance.due(self._clock.monotonic())
        records = [self._typing_record(who, conversation) for who, conversation in typing]
        records += [self._presence_record(who, state) for who, state in presence]
        try:
            await self._producer.publish(records)
        except Transient as trouble:
            self._lost.inc(len(records))
            self._attendance.not_told(presence)
            log.warning("typing and presence are not passed on", error=str(trouble))
        except Fatal as fault:
            self._on_fatal(fault)

    def _typing_record(self, who: Who, conversation: str) -> Outgoing:
        return self._record(self._event(who, conversation, Typing(member=who[1])))

    def _presence_record(self, who: Who, state: Presence) -> Outgoing:
        return self._record(self._event(who, who[1], PresenceChanged(member=who[1], state=state)))

    def _record(self, event: CloudEvent) -> Outgoing:
        headers = (*event.headers(), (REPLICA, self._replica.encode()))
        return Outgoing(WORKSPACE_EPHEMERAL, event.workspace, event.encoded(), headers)

    def _event(self, who: Who, subject: str, data: Typing | PresenceChanged) -> CloudEvent:
        ident = str(uuid.uuid4())
        return CloudEvent(
            id=ident,
            type=TYPE_OF[type(data)],
            source="relaydesk/gateway",
            subject=subject,
            time=to_timestamp(self._clock.now()),
            workspace=who[0],
            causationid=ident,
            actor=f"agent:{who[1]}",
            data=data.model_dump(),
        )

    # what comes in

    def _on_records(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                self._take(record)
            except (ValueError, KeyError, TypeError, AttributeError):
                self._malformed.inc()

    def _take(self, record: Record) -> None:
        """ValueError, KeyError, TypeError or AttributeError for what is no event of ours."""
        if record.key is None or record.value is None:
            raise ValueError("no key or value")
        workspace, kind = record.key.decode(), record.headers["type"].decode()
        content = json.loads(record.value)
        age = max(0.0, self._clock.now().timestamp() - record.timestamp_ms / 1000)
        if kind == TYPE_OF[Typing] and age < TYPING_S:
            member, ends = Typing(**content["data"]).member, self._clock.monotonic() + TYPING_S - age
            name = (kind, content["subject"], member)
            self._hub.tell(workspace, Passing(name, frames.ephemeral(record.value), ends))
        elif kind == TYPE_OF[PresenceChanged] and age < self._settings.presence_s:
            told = PresenceChanged(**content["data"])
            until = self._clock.monotonic() + self._settings.presence_s - age
            who, replica = (workspace, told.member), record.headers[REPLICA].decode()
            if (state := self._presences.note(who, replica, told.state, until)) is not None:
                self._tell_presence(who, state)

    def _tell_presence(self, who: Who, state: Presence) -> None:
        event = self._event(who, who[1], PresenceChanged(member=who[1], state=state))
        name = (event.type, who[1], "")
        self._hub.tell(who[0], Passing(name, frames.ephemeral(event.encoded())))


def _who(subscriber: Subscriber) -> Who:
    return subscriber.workspace, subscriber.member_id
