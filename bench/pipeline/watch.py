"""The stream, watched: when each message of ours was first seen, and how often. Parses no JSON: that would be load."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import quote

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.pipeline.load import MARK

_ID = re.compile(rb'"external_id":\s?"(' + MARK.encode() + rb'[^"]+)"')
_RECEIVED = b"relaydesk.message.received.v1"
_CONVERSATION = re.compile(rb'"conversation_id":\s?"([^"]+)"')
_CURSOR = re.compile(rb'"cursor":\s?"([^"]+)"')


class Watcher:
    """`seen`: external id -> monotonic seconds of its first frame. Resumes with its cursor when it is cut off."""

    def __init__(self, url: str, ticket: Callable[[], Awaitable[str]]) -> None:
        self._url, self._ticket = url, ticket
        self.seen: dict[str, float] = {}
        self.times: Counter[str] = Counter()
        self.conversations: set[str] = set()
        self.resumed = -1
        self._cursor = b""
        self._ready = asyncio.Event()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._follow())
        await asyncio.wait_for(self._ready.wait(), 30)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def all_seen(self, ids: Collection[str], within: float) -> float:
        """Waits for them; -> the moment of the last that came, whether or not all did."""
        end = time.monotonic() + within
        left = set(ids)
        while left and time.monotonic() < end:
            left = {one for one in left if one not in self.seen}
            await asyncio.sleep(0.05 if left else 0)
        return max((self.seen[one] for one in ids if one in self.seen), default=time.monotonic())

    def take(self, payload: bytes) -> None:
        """One frame."""
        now = time.monotonic()
        if found := _CURSOR.search(payload[:600]):
            self._cursor = found[1]
        if _RECEIVED in payload and (found := _ID.search(payload)):
            name = found[1].decode()
            self.times[name] += 1
            self.seen.setdefault(name, now)
            if len(self.conversations) < 500 and (talk := _CONVERSATION.search(payload)):
                self.conversations.add(talk[1].decode())

    async def _follow(self) -> None:
        while True:
            cursor = f"&cursor={quote(self._cursor.decode())}" if self._cursor else ""
            url = f"{self._url}?ticket={quote(await self._ticket())}{cursor}"
            transport, _ = await ws_connect(lambda: _Listener(self), url)
            self.resumed += 1
            self._ready.set()
            await transport.wait_disconnected()
            await asyncio.sleep(0.05)


class _Listener(WSListener):  # type: ignore[misc, unused-ignore]
    def __init__(self, watcher: Watcher) -> None:
        super().__init__()
        self._watcher = watcher

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self._watcher.take(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
