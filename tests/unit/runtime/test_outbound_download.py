"""A file comes from where its URL says, whole and in time, or there is a reason; over the wire, from a server that does
as a test likes."""

import asyncio
import hashlib
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from shared.runtime.outbound_download import DownloadBounds, DownloadFailed, DownloadRefused, Downloads
from shared.runtime.outbound_url import OutboundPolicy
from shared.testing.file_source import FILE, FileSource, dripping, endless, gives, says

PATIENT = DownloadBounds(connect_s=60.0, pause_s=60.0, deadline_s=60.0)
SOON = DownloadBounds(connect_s=60.0, pause_s=60.0, deadline_s=0.5)
LIMIT = 100_000


@pytest_asyncio.fixture
async def source() -> AsyncIterator[FileSource]:
    async with FileSource() as source:
        yield source


@asynccontextmanager
async def downloads(allow_private: bool = True, bounds: DownloadBounds = PATIENT) -> AsyncIterator[Downloads]:
    made = Downloads(OutboundPolicy(allow_private), bounds)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def got(url: str) -> bytes:
    async with downloads() as client:
        into = io.BytesIO(b"what was here before" * 10_000)
        await client.get(url, LIMIT, into)
        return into.getvalue()


async def refusal(url: str, allow_private: bool = True) -> str:
    async with downloads(allow_private) as client:
        with pytest.raises(DownloadRefused) as refused:
            await client.get(url, LIMIT, io.BytesIO())
    return refused.value.code


async def failure(url: str, bounds: DownloadBounds = PATIENT) -> DownloadFailed:
    async with downloads(bounds=bounds) as client:
        with pytest.raises(DownloadFailed) as failed:
            await client.get(url, LIMIT, io.BytesIO())
    return failed.value


async def test_a_file_comes_whole_with_what_was_said_of_it(source: FileSource) -> None:
    async with downloads() as client:
        into = io.BytesIO()
        found = await client.get(source.url("/a/photo.png?sig=1"), LIMIT, into)
    assert into.getvalue() == FILE
    assert (found.content_type, found.path) == ("image/png", "/a/photo.png")
    assert (found.content.size, found.content.sha256) == (len(FILE), hashlib.sha256(FILE).hexdigest())


async def test_nothing_of_ours_goes_along(source: FileSource) -> None:
    assert await got(source.url()) == FILE
    (head,) = source.asked
    names = {line.partition(":")[0].lower() for line in head.splitlines()[1:] if line}
    assert names == {"host", "user-agent", "accept", "accept-encoding", "connection"}


async def test_what_a_file_held_before_is_gone(source: FileSource) -> None:
    source.answer = says("HTTP/1.1 200 OK\ncontent-length: 3", b"abc")
    assert await got(source.url()) == b"abc"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
async def test_what_is_not_there_is_refused_for_good(source: FileSource, status: int) -> None:
    source.answer = says(f"HTTP/1.1 {status} No\ncontent-length: 0")
    assert await refusal(source.url()) == "FETCH_REFUSED"


@pytest.mark.parametrize("status", [204, 206, 304, 408, 425, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(source: FileSource, status: int) -> None:
    source.answer = says(f"HTTP/1.1 {status} Later\ncontent-length: 0\nretry-after: 7")
    failed = await failure(source.url())
    assert (str(failed), failed.retry_after) == (f"HTTP {status}", "7")


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        await failure(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    await failure("http://no-such-host.invalid/", SOON)


async def test_a_body_that_breaks_off_is_no_file(source: FileSource) -> None:
    source.answer = says("HTTP/1.1 200 OK\ncontent-length: 1000", b"x" * 999)
    await failure(source.url())


async def test_a_body_beyond_the_limit_is_refused_when_it_is_announced(source: FileSource) -> None:
    source.answer = says(f"HTTP/1.1 200 OK\ncontent-length: {LIMIT + 1}")
    assert await refusal(source.url()) == "FILE_TOO_LARGE"


async def test_a_body_without_an_end_is_refused_at_the_limit(source: FileSource) -> None:
    source.answer = endless
    assert await refusal(source.url()) == "FILE_TOO_LARGE"


async def test_a_slow_drip_ends_with_the_deadline(source: FileSource) -> None:
    source.answer = dripping
    began = asyncio.get_running_loop().time()
    assert str(await failure(source.url(), SOON)) == "TimeoutError"
    assert asyncio.get_running_loop().time() - began < 60, "it goes on for hours"


async def test_a_bomb_is_not_unpacked(source: FileSource) -> None:
    source.answer = says("HTTP/1.1 200 OK\ncontent-encoding: gzip\ncontent-length: 4", b"\x1f\x8b\x08\x00")
    assert await got(source.url()) == b"\x1f\x8b\x08\x00"


async def test_a_redirect_is_followed_and_each_is_checked(source: FileSource) -> None:
    async def hops(path: str, writer: asyncio.StreamWriter) -> None:
        left = int(path.strip("/"))
        if left:
            writer.write(f"HTTP/1.1 302 There\r\nlocation: /{left - 1}\r\ncontent-length: 0\r\n\r\n".encode())
        else:
            await gives(FILE, "image/png")(path, writer)

    source.answer = hops
    assert await got(source.url("/5")) == FILE
    assert await refusal(source.url("/6")) == "FETCH_REFUSED"


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:169.254.169.254]/",
        "http://0xa9fea9fe/",
        "http://2852039166/",
        "//169.254.169.254/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://user:password@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://[bad/",
    ],
)
async def test_no_redirect_leads_where_no_url_may(source: FileSource, location: str) -> None:
    source.answer = says(f"HTTP/1.1 302 There\nlocation: {location}\ncontent-length: 0")
    assert await refusal(source.url()) == "URL_NOT_ALLOWED"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "https://127.0.0.1/", "https://localhost/", "https://2130706433/"]
)
async def test_without_leave_nothing_private_is_called(url: str) -> None:
    assert await refusal(url, allow_private=False) == "URL_NOT_ALLOWED"


async def test_a_name_that_changes_between_look_ups_is_judged_by_the_address_that_is_connected_to(
    source: FileSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Public when it was looked at, private when it would have been used: there is only one look-up, so no between."""
    loop, answers, connected = asyncio.get_running_loop(), ["93.184.216.34", "127.0.0.1"], []

    async def rebinding(host: str, *args: object, **options: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), source.port))]

    async def nobody(made: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(loop, "getaddrinfo", rebinding)
    monkeypatch.setattr(loop, "sock_connect", nobody)
    async with downloads(allow_private=False) as client:
        with pytest.raises(DownloadFailed):
            await client.get("https://cdn.example.com/a.png", LIMIT, io.BytesIO())
    assert await refusal("https://cdn.example.com/a.png", allow_private=False) == "URL_NOT_ALLOWED"
    assert (connected, answers) == (["93.184.216.34"], [])
