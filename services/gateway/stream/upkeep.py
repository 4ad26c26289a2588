"""What happens to connections by the clock, on one timer for all: heartbeats, the end of tokens and of goodbyes."""

import asyncio
from enum import Enum
from typing import Protocol

from services.gateway.stream import codes, frames
from services.gateway.stream.catchup import CatchUp
from services.gateway.stream.hub import Hub
from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.subscriber import Stage, Subscriber
from services.gateway.stream.wheel import Wheel
from shared.runtime.clock import Clock


class Kept(Protocol):
    """A connection as seen from here, and from the server's front."""

    @property
    def subscriber(self) -> Subscriber: ...

    def cut_off(self) -> None:
        """Close without a word and without waiting."""


class Duty(Enum):
    BEAT = "a heartbeat is due"
    EXPIRE = "the member's token ends"
    CUT_OFF = "the peer has not answered our goodbye"


Item = tuple[Duty, Kept]


class Upkeep:
    def __init__(self, hub: Hub, catch_up: CatchUp, settings: StreamSettings, clock: Clock) -> None:
        self._hub, self._catch_up, self._settings, self._clock = hub, catch_up, settings, clock
        self._wheel: Wheel[Item] = Wheel(clock.monotonic(), settings.tick_s)
        self._expiries: dict[Kept, int] = {}
        self._beats: dict[tuple[str, Stage, int], bytes] = {}
        self._next_beat = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._settings.tick_s, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def opened(self, connection: Kept, expires_at: float) -> None:
        """`expires_at` in Unix seconds. First heartbeats are spread: a storm of reconnects must not beat as one."""
        now = self._clock.monotonic()
        self._next_beat = (self._next_beat + self._settings.tick_s) % self._settings.heartbeat_s
        self._wheel.add(now + self._next_beat, (Duty.BEAT, connection))
        left = expires_at - self._clock.now().timestamp()
        self._expiries[connection] = self._wheel.add(now + left, (Duty.EXPIRE, connection))

    def said_goodbye(self, connection: Kept) -> None:
        self._forget_expiry(connection)
        self._wheel.add(self._clock.monotonic() + self._settings.linger_s, (Duty.CUT_OFF, connection))

    def gone(self, connection: Kept) -> None:
        """Its other entries end by themselves within a heartbeat; a token may last a day."""
        self._forget_expiry(connection)

    def _forget_expiry(self, connection: Kept) -> None:
        tick = self._expiries.pop(connection, None)
        if tick is not None:
            self._wheel.discard(tick, (Duty.EXPIRE, connection))

    def turn(self) -> None:
        """Do what has become due."""
        now = self._clock.monotonic()
        self._beats.clear()
        self._catch_up.tick(now)
        for duty, connection in self._wheel.turn(now):
            self._do(duty, connection, now)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._settings.tick_s, self._tick)
        self.turn()

    def _do(self, duty: Duty, connection: Kept, now: float) -> None:
        if duty is Duty.CUT_OFF:
            connection.cut_off()
        elif connection.subscriber.stage is Stage.CLOSED:
            return
        elif duty is Duty.EXPIRE:
            self._hub.dismiss(connection.subscriber, codes.TOKEN_EXPIRED, "token expired: new ticket, then resume")
        else:
            self._wheel.add(now + self._settings.heartbeat_s - self._settings.tick_s, (duty, connection))
            self._beat(connection.subscriber)

    def _beat(self, subscriber: Subscriber) -> None:
        """A peer that took nothing of what is buffered for a whole heartbeat is as good as gone."""
        if subscriber.stalled:
            self._hub.dismiss(subscriber, codes.TOO_SLOW, "stalled: resume")
        elif subscriber.congested:
            subscriber.stalled = True
        elif subscriber.stage is not Stage.OPENING:
            subscriber.write(self._heartbeat(subscriber))

    def _heartbeat(self, subscriber: Subscriber) -> bytes:
        """Built once a tick for all who stand at the same place."""
        at = (subscriber.workspace, subscriber.stage, -1 if subscriber.stage is Stage.LIVE else subscriber.position)
        beat = self._beats.get(at)
        if beat is None:
            beat = self._beats[at] = frames.heartbeat(self._catch_up.cursor_of(subscriber))
        return beat
