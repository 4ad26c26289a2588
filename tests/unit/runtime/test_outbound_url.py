"""A URL that somebody gave us leads to the public internet or nowhere, however it is spelled and whatever DNS says."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.outbound_url import OutboundPolicy, UrlNotAllowed, is_public

STRICT, LOOSE = OutboundPolicy(allow_private=False), OutboundPolicy(allow_private=True)


@pytest.mark.parametrize(
    "url", ["https://hooks.example.com/in", "https://8.8.8.8:8443/x?y=1", "https://[2606:4700::1]/"]
)
def test_a_public_https_url_is_allowed(url: str) -> None:
    assert STRICT.check(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "hooks.example.com",
        "",
        "https://",
        "https:///path",
        "https://user:pass@example.com/",
        "https://user@example.com/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://db.internal/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://[::1]/",
        "https://[::]/",
        "https://[fe80::1%25eth0]/",
        "https://[fd00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:a00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://[bad/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: x",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_any_other_url_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(UrlNotAllowed) as refused:
        STRICT.check(url)
    assert str(refused.value).startswith("The URL ")


def test_development_may_call_loopback_over_http() -> None:
    for url in ("http://127.0.0.1:9/x", "http://localhost/", "https://10.0.0.1/"):
        assert LOOSE.check(url) == url
    with pytest.raises(UrlNotAllowed):
        LOOSE.check("file:///etc/passwd")


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[2002:a9fe:a9fe::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "0.0.0.0",
        "[::]",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
def test_nothing_makes_where_machines_learn_their_keys_an_address_to_call(host: str) -> None:
    with pytest.raises(UrlNotAllowed):
        LOOSE.check(f"http://{host}/latest/meta-data")
    with pytest.raises(UrlNotAllowed):
        STRICT.check(f"https://{host}/latest/meta-data")


@given(st.text(max_size=60) | st.text("https:/@[]?#%\\.0x", max_size=40))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    with suppress(UrlNotAllowed):
        STRICT.check(text)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_ipv6_is_judged_as_itself(address: Any) -> None:
    assert is_public(f"::ffff:{address}") == is_public(str(address))


@pytest_asyncio.fixture
async def loopback() -> AsyncIterator[int]:
    """A server on loopback that must not be reached."""

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="reached")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def fetched(policy: OutboundPolicy, url: str) -> str:
    session = aiohttp.ClientSession(connector=policy.connector(), trust_env=False)
    async with session, session.get(url, allow_redirects=False) as answer:
        return await answer.text()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "[::ffff:127.0.0.1]"],
)
async def test_no_spelling_of_loopback_is_connected_to(loopback: int, host: str) -> None:
    with pytest.raises(aiohttp.ClientError):
        await fetched(STRICT, f"http://{host}:{loopback}/")


async def test_a_public_name_that_resolves_to_loopback_is_not_connected_to(
    loopback: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def rebound(host: str, *args: object, **options: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", loopback))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebound)
    with pytest.raises(aiohttp.ClientConnectionError):
        await fetched(STRICT, f"http://hooks.example.com:{loopback}/")
    assert await fetched(LOOSE, f"http://hooks.example.com:{loopback}/") == "reached"
    assert asked == ["hooks.example.com", "hooks.example.com"]
