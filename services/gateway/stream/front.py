"""The life of every connection, whatever carries its frames: room for it, entering, pauses, goodbyes, leaving."""

import asyncio
import logging
import math
import random
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol

from services.gateway.stream import codes, frames
from services.gateway.stream.catchup import CatchUp
from services.gateway.stream.gate import Admitted, Refused
from services.gateway.stream.hub import Hub
from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.subscriber import Subscriber
from services.gateway.stream.upkeep import Kept, Upkeep
from shared.contracts.ids import UUID_PATTERN
from shared.contracts.resources import Presence
from shared.runtime.clock import Clock

DRAIN_SLICES = 60
DRAIN_AT_ONCE = 10

_UUID = re.compile(UUID_PATTERN)
_log = logging.getLogger(__name__)


class Talker(Kept, Protocol):
    """A connection that may send frames, too. `frames` since `frames_from` (monotonic seconds): for their limit."""

    frames: int
    frames_from: float


class Signs(Protocol):
    """Where typing and presence go (see `ephemeral`)."""

    def entered(self, subscriber: Subscriber) -> None: ...
    def left(self, subscriber: Subscriber) -> None: ...
    def types(self, subscriber: Subscriber, conversation_id: str) -> None: ...
    def says(self, subscriber: Subscriber, state: Presence) -> None: ...


class Front:
    def __init__(self, hub: Hub, catch_up: CatchUp, signs: Signs, settings: StreamSettings, clock: Clock) -> None:
        self._hub, self._catch_up, self._signs = hub, catch_up, signs
        self._settings, self._clock = settings, clock
        self._upkeep = Upkeep(hub, catch_up, settings, clock)
        self._connections: set[Kept] = set()
        self._all_gone = asyncio.Event()
        self._draining = False

    def start(self) -> None:
        self._upkeep.start()

    def stop(self) -> None:
        self._upkeep.stop()

    async def drain(self) -> None:
        """Send everybody away, spread over `drain_s`, so that they don't all arrive at another replica at once."""
        self._draining = True
        everybody = self._hub.everybody()
        random.shuffle(everybody)
        slices = max(1, min(DRAIN_SLICES, math.ceil(len(everybody) / DRAIN_AT_ONCE)))
        for number in range(slices):
            if number:
                await asyncio.sleep(self._settings.drain_s / slices)
            for subscriber in everybody[number::slices]:
                if subscriber in self._hub:  # it may have left meanwhile
                    self._hub.dismiss(subscriber, codes.GOING_AWAY, "draining: resume")
        await self._wait_until_gone()

    async def _wait_until_gone(self) -> None:
        """For what `Upkeep` grants a goodbye, and a moment more."""
        if not self._connections:
            return
        self._all_gone.clear()
        try:
            async with asyncio.timeout(self._settings.linger_s + 2 * self._settings.tick_s):
                await self._all_gone.wait()
        except TimeoutError:
            _log.warning("stopped with %d connections left", len(self._connections))

    def check_room(self) -> None:
        """Refused while draining, or full."""
        if self._draining:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", "draining: connect again")
        if len(self._connections) >= self._settings.max_sockets:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", "this replica is full: connect again")

    def count_refused(self, code: str) -> None:
        self._hub.count_refused(code)

    # from here on: what a connection tells of itself

    def opened(self, connection: Kept, admitted: Admitted) -> None:
        self._connections.add(connection)
        self._hub.enter(connection.subscriber)
        self._upkeep.opened(connection, admitted.holder.expires_at)
        self._signs.entered(connection.subscriber)
        self._catch_up.begin(connection.subscriber, admitted.cursor)

    def allows_frame(self, connection: Talker) -> bool:
        now = self._clock.monotonic()
        if now - connection.frames_from > self._settings.client_frames_s:
            connection.frames, connection.frames_from = 0, now
        connection.frames += 1
        return connection.frames <= self._settings.client_frames

    def said(self, connection: Kept, content: Mapping[str, object]) -> None:
        """A frame of the client's: a JSON object. Types that we don't know are ignored (DESIGN 8)."""
        subscriber = connection.subscriber
        match content:
            case {"type": "typing", "conversation_id": str(conversation)} if _UUID.fullmatch(conversation):
                self._signs.types(subscriber, conversation)
            case {"type": "presence", "state": ("online" | "away" | "offline") as state}:
                self._signs.says(subscriber, state)
            case {"type": "typing" | "presence"} if not subscriber.congested:
                subscriber.write(frames.error("INVALID"))

    def congested(self, connection: Kept, is_congested: bool) -> None:
        self._hub.congested(connection.subscriber, is_congested)
        if not is_congested:
            self._catch_up.pump(connection.subscriber)

    def misbehaved(self, connection: Kept, code: int, reason: str) -> None:
        self._hub.dismiss(connection.subscriber, code, reason)

    def said_goodbye(self, connection: Kept) -> None:
        self._upkeep.said_goodbye(connection)

    def closed(self, connection: Kept) -> None:
        self._connections.discard(connection)
        self._hub.leave(connection.subscriber)
        self._signs.left(connection.subscriber)
        self._catch_up.forget(connection.subscriber)
        self._upkeep.gone(connection)
        if not self._connections:
            self._all_gone.set()
