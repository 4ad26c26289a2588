"""An agent UI reduced to its stream: connects with a ticket, resumes with its cursor, keeps all frames and events."""

import asyncio
import contextlib
import json
import socket
from typing import Any

import aiohttp

from shared.testing.api import Api
from shared.testing.eventually import eventually

Event = dict[str, Any]


def kind(event: Event) -> str:
    """`relaydesk.message.sent.v1` -> `message.sent`"""
    return str(event["type"]).removeprefix("relaydesk.").rsplit(".v", 1)[0]


class Follower:
    """`async with Follower(api, url) as stream:`; reconnects by itself until left, `cut()` forces it to."""

    def __init__(self, api: Api, url: str, cursor: str | None = None) -> None:
        self._api, self._url, self.cursor = api, url, cursor
        self.events: list[Event] = []
        self.frames: list[dict[str, Any]] = []
        self.welcomes: list[dict[str, Any]] = []
        self._opened: dict[str, str] = {}
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Follower":
        self._task = asyncio.create_task(self._follow())
        await eventually(lambda: self.welcomes, "the stream's welcome")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def cut(self) -> None:
        """Drop the connection without a goodbye; resumed at once."""
        if self._socket is not None and (connection := self._socket.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def of(self, conversation: str, *kinds: str) -> list[Event]:
        return [e for e in self.events if e.get("subject") == conversation and (not kinds or kind(e) in kinds)]

    def texts(self, conversation: str, kind_of_message: str) -> list[str]:
        """Texts of the conversation's messages of a kind (`message.received`, `message.sent`), as they came."""
        return [str(e["data"]["message"]["text"]) for e in self.of(conversation, kind_of_message)]

    def statuses(self, conversation: str) -> list[str]:
        return [str(e["data"]["status"]) for e in self.of(conversation, "message.status_changed")]

    async def conversation_of(self, external_id: str) -> str:
        """The conversation that `contact.created` opened for the contact with this external id."""

        what = f"contact.created of {external_id} on the stream"
        return await eventually(lambda: self._opened.get(external_id), what)

    async def _follow(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError, AssertionError, ValueError):
                    await self._read(session)
                await asyncio.sleep(0.05)

    async def _read(self, session: aiohttp.ClientSession) -> None:
        ticket = (await self._api.ok("POST", "/v1/stream/ticket"))["ticket"]
        params = {"ticket": ticket} | ({"cursor": self.cursor} if self.cursor else {})
        async with session.ws_connect(self._url, params=params, max_msg_size=0) as self._socket:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._take(json.loads(message.data))

    def _take(self, frame: dict[str, Any]) -> None:
        self.cursor = frame.get("cursor", self.cursor)
        self.frames.append(frame)
        if frame["type"] == "event":
            self.events.append(frame["event"])
            if kind(frame["event"]) == "contact.created":
                external_id = frame["event"]["data"]["contact"]["external_id"]
                self._opened.setdefault(external_id, str(frame["event"]["subject"]))
        elif frame["type"] == "welcome":
            self.welcomes.append(frame)


def assert_whole(events: list[Event]) -> None:
    """I2 and I5: seqs of each conversation consecutive, each once; from 1 where the contact appeared meanwhile."""
    born = {e["subject"] for e in events if kind(e) == "contact.created" and e["seq"] == 1}
    last: dict[str, int] = {}
    for event in events:
        if event.get("seq") is None:
            continue
        conversation, seq = event["subject"], event["seq"]
        due = last[conversation] + 1 if conversation in last else 1 if conversation in born else seq
        assert seq == due, f"conversation {conversation}: seq {seq} where {due} was due"
        last[conversation] = seq
