"""Tickets: each opens one connection, within 30 s."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from relaydesk_stream.failures import Refused

TIMEOUT = aiohttp.ClientTimeout(total=20)
REFUSALS = (401, 403)

Token = Callable[[], str | Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Ticket:
    """What `POST /v1/stream/ticket` answers."""

    ticket: str
    url: str


class Busy(Exception):
    """No ticket now; not before so many seconds."""

    def __init__(self, status: int, retry_after_s: float) -> None:
        super().__init__(f"no ticket for the stream: the server answered {status}")
        self.retry_after_s = retry_after_s


class Tickets:
    """`Tickets("https://desk.example", token)`; `token` is a text, or is asked each time and may be asynchronous."""

    def __init__(self, api: str, token: str | Token) -> None:
        self._url = api.rstrip("/") + "/v1/stream/ticket"
        self._token = token

    async def __call__(self, session: aiohttp.ClientSession) -> Ticket:
        """Raises Refused where another try would not help; Busy, OSError or aiohttp.ClientError otherwise."""
        headers = {"authorization": f"Bearer {await self._current()}", "accept": "application/json"}
        async with session.post(self._url, headers=headers, timeout=TIMEOUT) as answer:
            if answer.status in REFUSALS:
                raise Refused(answer.status, await answer.text())
            if not answer.ok:
                raise Busy(answer.status, _seconds(answer.headers.get("retry-after", "")))
            body = await answer.json()
            return Ticket(body["ticket"], body["url"])

    async def _current(self) -> str:
        if isinstance(self._token, str):
            return self._token
        token = self._token()
        return await token if inspect.isawaitable(token) else token


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 0.0
