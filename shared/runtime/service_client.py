"""One service asking another over HTTP, in the caller's name. An answer that cannot be had is a 503, never a guess.

The other service counts the request as the caller's, like any other; its 429 goes on to the caller.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from shared.contracts.retry_after import wait_s
from shared.runtime.problems import Problem, too_many_requests, unavailable

TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 4 << 20
CHUNK = 64 * 1024


class ServiceClient:
    """Component. `base_url` is the other service's own address."""

    def __init__(self, base_url: str, name: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._name = name
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Connects with the first call."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, token: str, params: Mapping[str, str]) -> Any:
        """The JSON of a 200. Problem 429 as it came; 503 for anything else: no answer in time, an error, no JSON."""
        status, content = await self._call("GET", path, token, params=params)
        if status == 200:
            return content
        raise self._away()

    async def find(self, path: str, token: str) -> bytes | None:
        """The body of a 200, None for a 404. Problem 429 as it came, 503 for anything else."""
        status, content = await self._ask("GET", path, token)
        if status == 200:
            return content
        if status == 404:
            return None
        raise self._away()

    async def post(self, path: str, token: str, body: Any) -> tuple[int, Any]:
        """The status, whatever else it is, and its JSON. Problem 429 as it came, 503 where there is no answer in time,
        or no JSON."""
        return await self._call("POST", path, token, json=body)

    async def _call(self, method: str, path: str, token: str, **options: Any) -> tuple[int, Any]:
        status, content = await self._ask(method, path, token, **options)
        try:
            return status, orjson.loads(content)
        except ValueError:
            raise self._away() from None

    async def _ask(self, method: str, path: str, token: str, **options: Any) -> tuple[int, bytes]:
        assert self._session is not None, "not started"
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with self._session.request(
                method, self._base_url + path, headers=headers, allow_redirects=False, **options
            ) as answer:
                content = await _content(answer)
        except (aiohttp.ClientError, TimeoutError):
            raise self._away() from None
        if answer.status == 429:
            raise asked_too_often(self._name, answer.headers)
        return answer.status, content

    def _away(self) -> Problem:
        return unavailable(f"The service {self._name} does not answer; nothing was changed.")


def asked_too_often(name: str, headers: Mapping[str, str]) -> Problem:
    """The 429 of a service that was asked in a caller's name, for that caller."""
    wait = wait_s(headers.get("Retry-After"), datetime.now(UTC)) or 1.0
    return too_many_requests(f"The service {name} has had too many requests of yours; nothing was changed.", wait)


async def _content(answer: aiohttp.ClientResponse) -> bytes:
    """ClientPayloadError past the limit."""
    content = bytearray()
    async for chunk in answer.content.iter_chunked(CHUNK):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError("the answer is too large")
    return bytes(content)
