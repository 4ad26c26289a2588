"""The stream as an async iterator. One connection at a time; it is read when the reader asks for the next event."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp

from relaydesk_stream import rules
from relaydesk_stream.events import Event, SnapshotRequired, StateChange
from relaydesk_stream.failures import Faulty, Forbidden, GapUnfilled, Refused
from relaydesk_stream.rules import Seen, Timing
from relaydesk_stream.tickets import Busy, Ticket

LARGEST_FRAME = 8 * 1024 * 1024
"""Bytes. An event is 2 MiB at most."""

CLOSING = aiohttp.ClientWSTimeout(ws_close=0.5)
"""So long is a server's goodbye waited for, in seconds."""

TicketSource = Callable[[aiohttp.ClientSession], Awaitable[Ticket]]
Frame = dict[str, Any]


@dataclass(frozen=True)
class Handlers:
    """What happens beside events; nothing of it runs while an event is handled.

    `on_snapshot_required`: read everything anew from the API and return the `stream_cursor` that
    `GET /v1/conversations` gave with it: the stream goes on from there; None: from now on. What it raises comes out of
    the iterator. Without it the iterator raises GapUnfilled. `on_ephemeral`: typing and presence, a CloudEvent.
    """

    on_snapshot_required: Callable[[SnapshotRequired], Awaitable[str | None]] | None = None
    on_ephemeral: Callable[[dict[str, Any]], None] | None = None
    on_state: Callable[[StateChange], None] | None = None


@dataclass
class _Line:
    """A connection; `silence_s`: without a frame for so long it is dead."""

    socket: aiohttp.ClientWebSocketResponse
    silence_s: float
    asked: str
    welcome: bool = field(default=False)


class Stream:
    """`async with stream(tickets) as events: async for event in events: …`

    An event counts as handled when the next one is asked for: then `cursor` moves on. A reader that fails on an event
    begins a new Stream with that `cursor` and gets the event again. Not for two readers at once.
    """

    def __init__(
        self,
        tickets: TicketSource,
        cursor: str = "",
        handlers: Handlers | None = None,
        timing: Timing | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.cursor = cursor
        self._tickets, self._handlers = tickets, handlers or Handlers()
        self._timing, self._dice = timing or Timing(), dice
        self._seen = Seen()
        self._session: aiohttp.ClientSession | None = None
        self._line: _Line | None = None
        self._given: Event | None = None
        self._failures = 0
        self._wait_s = 0.0
        self._presence: Literal["online", "away"] | None = None
        self._typed: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Waits as long as nothing happens. Raises StreamEnded; after that, asking again connects anew."""
        self._handled()
        while True:
            line = self._line or await self._connect()
            self._given = await self._step(line)
            if self._given is not None:
                return self._given

    async def aclose(self) -> None:
        """The event given last doesn't count as handled."""
        self._given = None
        await self._drop()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def typing(self, conversation_id: str) -> None:
        """Say that this member writes: at most every 3 s for a conversation, and only while connected."""
        now = time.monotonic()
        if now - self._typed.get(conversation_id, -self._timing.typing_s) < self._timing.typing_s:
            return
        if await self._say({"type": "typing", "conversation_id": conversation_id}):
            self._typed[conversation_id] = now

    async def presence(self, state: Literal["online", "away"]) -> None:
        """Kept, and said again after a reconnect."""
        if state != self._presence:
            self._presence = state
            await self._say({"type": "presence", "state": state})

    # connecting

    async def _connect(self) -> _Line:
        """Until it succeeds, with pauses in between; not welcomed yet."""
        while True:
            if self._wait_s:
                await asyncio.sleep(self._wait_s)
            self._tell(StateChange("connecting"))
            try:
                return await self._try_to_connect()
            except aiohttp.WSServerHandshakeError as error:
                if error.status == 403:
                    raise Refused(403, "the stream") from None
                self._failed(error=error)
            except Busy as error:
                self._failed(error=error, least_s=error.retry_after_s)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                self._failed(error=error)

    async def _try_to_connect(self) -> _Line:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        made = await self._tickets(self._session)
        query = {"ticket": made.ticket} | ({"cursor": self.cursor} if self.cursor else {})
        async with asyncio.timeout(self._timing.connect_s):
            socket = await self._session.ws_connect(made.url, params=query, timeout=CLOSING, max_msg_size=LARGEST_FRAME)
        self._line = _Line(socket, self._timing.connect_s, asked=self.cursor)
        return self._line

    def _failed(self, code: int | None = None, error: BaseException | None = None, least_s: float = 0.0) -> None:
        self._wait_s = least_s + self._timing.pause(self._failures, self._dice)
        self._failures += 1
        self._tell(StateChange("waiting", code, error, self._wait_s))

    async def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await line.socket.close()

    # reading

    async def _step(self, line: _Line) -> Event | None:
        """Read and handle one frame."""
        try:
            message = await line.socket.receive(timeout=line.silence_s)
        except TimeoutError:
            await self._lost(rules.SILENT)
            return None
        if message.type is aiohttp.WSMsgType.TEXT:
            return await self._handle(line, message.data)
        await self._lost(line.socket.close_code or rules.SILENT)
        return None

    async def _lost(self, code: int) -> None:
        await self._drop()
        if code == rules.FORBIDDEN:
            raise Forbidden("the member was deactivated")
        if code == rules.PROTOCOL_ERROR:
            raise Faulty("the server could not read a frame of ours")
        self._failed(code, least_s=self._timing.rate_wait_s if code == rules.TOO_MANY_FRAMES else 0.0)

    async def _handle(self, line: _Line, text: str) -> Event | None:
        """A frame that could not be handled, or not to the end, is asked for anew."""
        try:
            return await self._take(line, json.loads(text))
        except BaseException as error:
            await self._drop()
            self._failed(error=error)
            raise

    async def _take(self, line: _Line, frame: Frame) -> Event | None:
        match frame["type"]:
            case "welcome":
                await self._welcomed(line, frame)
            case "event" if not self._seen.has(frame["event"]):
                return Event(frame["event"], frame["cursor"])
            case "event" | "heartbeat":
                self._advance(frame["cursor"])
            case "snapshot_required":
                await self._snapshot(SnapshotRequired(frame["reason"], frame["cursor"]))
            case "ephemeral" if self._handlers.on_ephemeral is not None:
                self._handlers.on_ephemeral(frame["event"])
        return None

    async def _welcomed(self, line: _Line, frame: Frame) -> None:
        """Where a gap can't be filled, this frame's cursor lies behind it: it is taken over with `snapshot_required`
        only, so that a connection which is lost between the two doesn't hide the gap.
        """
        line.silence_s = self._timing.silent_heartbeats * frame["heartbeat_s"]
        line.welcome = True
        if frame["recovered"] or not line.asked:
            self.cursor = frame["cursor"]
        self._tell(StateChange("live"))
        if self._presence is not None:
            await self._say({"type": "presence", "state": self._presence})

    async def _snapshot(self, gap: SnapshotRequired) -> None:
        """What was seen counts no more: after a restored backup seqs begin lower."""
        if self._handlers.on_snapshot_required is None:
            raise GapUnfilled(gap)
        position = await self._handlers.on_snapshot_required(gap)
        self._seen.clear()
        self.cursor = position or gap.cursor
        if position:
            await self._drop()
            self._failed()

    def _handled(self) -> None:
        given, self._given = self._given, None
        if given is not None:
            self._seen.add(given.content)
            self._advance(given.cursor)

    def _advance(self, cursor: str) -> None:
        self.cursor = cursor
        self._failures, self._wait_s = 0, 0.0

    async def _say(self, frame: Frame) -> bool:
        line = self._line
        if line is None or not line.welcome:
            return False
        with contextlib.suppress(aiohttp.ClientError, OSError):
            await line.socket.send_str(json.dumps(frame))
            return True
        return False

    def _tell(self, change: StateChange) -> None:
        if self._handlers.on_state is not None:
            self._handlers.on_state(change)


def stream(tickets: TicketSource, cursor: str = "", handlers: Handlers | None = None) -> Stream:
    """Everything after `cursor`; without one, what happens from now on."""
    return Stream(tickets, cursor, handlers)
