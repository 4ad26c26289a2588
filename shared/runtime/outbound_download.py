"""GETs of files from addresses that others gave us: bounded in time and size, each redirect checked as the first URL.

Nothing of ours goes along: no token, no cookie, not where we came from.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import BinaryIO

import aiohttp
from yarl import URL

from shared.runtime.outbound_http import USER_AGENT
from shared.runtime.outbound_url import AddressNotAllowed, OutboundPolicy, UrlNotAllowed
from shared.runtime.s3 import Fetched

CHUNK = 256 * 1024
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING_4XX = frozenset({408, 425, 429})


class DownloadRefused(Exception):
    """Trying again won't help. `code` is one of shared.contracts.errors; the text is for our logs."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class DownloadFailed(Exception):
    """It may work later. `retry_after`: the header as it came. The text is for our logs, without the address."""

    def __init__(self, detail: str, retry_after: str | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class DownloadBounds:
    """Seconds: for connecting, between two pieces, for all of it."""

    connect_s: float = 5.0
    pause_s: float = 15.0
    deadline_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Downloaded:
    """`content_type` as the other side said it; `path`: the last URL's."""

    content: Fetched
    content_type: str | None
    path: str


class Downloads:
    """A component."""

    def __init__(self, policy: OutboundPolicy, bounds: DownloadBounds = DownloadBounds()) -> None:
        self._policy = policy
        self._bounds = bounds
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        bounds = self._bounds
        self._session = aiohttp.ClientSession(
            connector=self._policy.connector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, connect=bounds.connect_s, sock_read=bounds.pause_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # else what is small on the way may be gigabytes here
            trust_env=False,
            headers={"user-agent": USER_AGENT, "accept": "*/*", "accept-encoding": "identity"},
        )

    async def stop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, url: str, limit: int, into: BinaryIO) -> Downloaded:
        """At most `limit` bytes into an open file, from its beginning. DownloadRefused, DownloadFailed."""
        try:
            async with asyncio.timeout(self._bounds.deadline_s):
                return await self._followed(URL(url), limit, into)
        except (UrlNotAllowed, ValueError) as error:  # ValueError: what no URL can be, by any reading
            raise DownloadRefused("URL_NOT_ALLOWED", type(error).__name__) from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressNotAllowed):
                raise DownloadRefused("URL_NOT_ALLOWED", str(error.os_error)) from None
            raise DownloadFailed(type(error.os_error).__name__) from None
        except (aiohttp.ClientError, OSError) as error:  # OSError: TimeoutError too
            raise DownloadFailed(type(error).__name__) from None

    async def _followed(self, url: URL, limit: int, into: BinaryIO) -> Downloaded:
        for _ in range(MAX_REDIRECTS + 1):
            self._policy.check(str(url))
            if self._session is None:
                raise DownloadFailed("shutting down")
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await _taken(response, limit, into)
                url = url.join(URL(response.headers.get("location", "")))
        raise DownloadRefused("FETCH_REFUSED", "too many redirects")


async def _taken(response: aiohttp.ClientResponse, limit: int, into: BinaryIO) -> Downloaded:
    _check_status(response)
    if (response.content_length or 0) > limit:
        raise DownloadRefused("FILE_TOO_LARGE", f"more than {limit} bytes are announced")
    into.seek(0)
    into.truncate()
    digest, size = hashlib.sha256(), 0
    async for chunk in response.content.iter_chunked(CHUNK):
        size += len(chunk)
        if size > limit:
            raise DownloadRefused("FILE_TOO_LARGE", f"more than {limit} bytes")
        await asyncio.to_thread(into.write, chunk)
        digest.update(chunk)  # a quarter of a millisecond a piece
    await asyncio.to_thread(into.flush)
    return Downloaded(Fetched(size, digest.hexdigest()), response.headers.get("content-type"), response.url.path)


def _check_status(response: aiohttp.ClientResponse) -> None:
    """200, or it is no file; a part of one (206) that nobody asked for neither."""
    status = response.status
    if status == 200:
        return
    if 400 <= status < 500 and status not in _PASSING_4XX:
        raise DownloadRefused("FETCH_REFUSED", f"HTTP {status}")
    raise DownloadFailed(f"HTTP {status}", response.headers.get("retry-after"))
