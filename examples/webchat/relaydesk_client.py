"""The way in: events leave the outbox one by one, each until Relaydesk has said 202 or refused it for good."""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
from history import Event, History
from standardwebhooks.webhooks import Webhook

RETRY_S = (0.5, 1.0, 2.0, 5.0)
TAKEN = 202
TRY_AGAIN = (408, 425, 429)

log = logging.getLogger("webchat")


@dataclass(frozen=True)
class Channel:
    """The channel this chat is attached as; `secret` signs both ways."""

    api: str
    id: str
    secret: str


class RelaydeskClient:
    """`changed(visitor)` is called when a line's state changed."""

    def __init__(self, channel: Channel, history: History, changed: Callable[[str], None]) -> None:
        self._url = f"{channel.api}/v1/inbound/{channel.id}"
        self._webhook = Webhook(channel.secret)
        self._history = history
        self._changed = changed
        self._more = asyncio.Event()

    def wake(self) -> None:
        """There is something in the outbox."""
        self._more.set()

    async def run(self) -> None:
        """Until cancelled. What was waiting when the process died is sent first."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
            while True:
                self._more.clear()
                while waiting := self._history.next_waiting():
                    self._history.settle(waiting, await self._insist(session, waiting.event))
                    if waiting.visitor:
                        self._changed(waiting.visitor)
                await self._more.wait()

    async def _insist(self, session: aiohttp.ClientSession, event: Event) -> str:
        """-> `sent` or `refused`. A repeat with the same webhook-id is safe: what was taken already counts once."""
        attempt = 0
        while True:
            status = await self._post(session, event)
            if status == TAKEN:
                return "sent"
            if 400 <= status < 500 and status not in TRY_AGAIN:
                log.error("Relaydesk refused an event with %s", status)
                return "refused"
            await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
            attempt += 1

    async def _post(self, session: aiohttp.ClientSession, event: Event) -> int:
        """-> HTTP status, 0 where nobody answered."""
        body = json.dumps({"events": [event.body]})
        moment = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": event.id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": self._webhook.sign(event.id, moment, body),
        }
        try:
            async with session.post(self._url, data=body.encode(), headers=headers) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0
