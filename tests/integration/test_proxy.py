"""The development proxy: the path decides, bytes and headers pass as they are, nothing is repeated."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from relaydesk.proxy import serving
from shared.engines.ports import LOOPBACK, free_ports
from shared.testing.eventually import eventually

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Upstream:
    """Plays every service; `handler` answers, `seen` keeps what came."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.handler: Handler = self.plain

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        return await self.handler(request)

    async def plain(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        return web.json_response({"path": request.raw_path})


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[Upstream]:
    service = Upstream()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", service.handle)
    runner = web.AppRunner(
        app, auto_decompress=False, shutdown_timeout=0.1, handler_cancellation=True, max_field_size=65_536
    )
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    service.port = runner.addresses[0][1]
    yield service
    await runner.cleanup()


@pytest_asyncio.fixture
async def port(upstream: Upstream) -> AsyncIterator[int]:
    """The proxy's."""
    port, nowhere = free_ports(2)
    upstreams = {"gateway": f"http://{LOOPBACK}:{upstream.port}", "ingest": f"http://{LOOPBACK}:{nowhere}"}
    async with serving(port, upstreams):
        yield port


@pytest_asyncio.fixture
async def client(port: int) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://{LOOPBACK}:{port}", auto_decompress=False) as session:
        yield session


async def test_path_query_headers_and_status_pass_unchanged(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=418, text="tea", headers={"X-Answer": "1", "ETag": '"7"', "Set-Cookie": "a=b"})

    upstream.handler = answer
    sent = {"Authorization": "Bearer x", "Idempotency-Key": "k", "X-Long": "y" * 20_000, "Host": "desk.example"}
    async with client.get("/v1/conversations/a%2Fb?q=%C3%A9+x&after=", headers=sent) as got:
        assert (got.status, await got.text()) == (418, "tea")
        assert (got.headers["X-Answer"], got.headers["ETag"], got.headers["Set-Cookie"]) == ("1", '"7"', "a=b")
    seen = upstream.seen[0]
    assert seen.raw_path == "/v1/conversations/a%2Fb?q=%C3%A9+x&after="
    assert {name: seen.headers[name] for name in sent} == sent


async def test_cookies_of_one_caller_are_not_sent_for_the_next(
    client: aiohttp.ClientSession, upstream: Upstream
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(headers={"Set-Cookie": "who=first"})

    upstream.handler = answer
    for _ in range(2):
        async with client.get("/v1/me", headers={"Cookie": ""}):
            pass
    assert not upstream.seen[1].headers.get("Cookie")


@pytest.mark.parametrize("size", [0, 1, 900_000])
async def test_bodies_pass_in_both_directions(client: aiohttp.ClientSession, upstream: Upstream, size: int) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read())

    upstream.handler = echo
    body = b"x" * size
    async with client.post("/v1/conversations", data=body) as got:
        assert await got.read() == body
    assert upstream.seen[0].headers["Content-Length"] == str(size)


async def test_a_body_of_unknown_length_passes(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async with client.post("/v1/conversations", data=parts()) as got:
        assert got.status == 200
    assert upstream.bodies == [b"one two"]


async def test_compressed_bodies_stay_compressed(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    packed = zlib.compress(b"hello")

    async def answer(request: web.Request) -> web.StreamResponse:
        assert await request.read() == packed
        return web.Response(body=packed, headers={"Content-Encoding": "deflate"})

    upstream.handler = answer
    async with client.post("/v1/conversations", data=packed, headers={"Content-Encoding": "deflate"}) as got:
        assert (got.status, await got.read(), got.headers["Content-Encoding"]) == (200, packed, "deflate")


async def test_head_has_the_headers_and_no_body(client: aiohttp.ClientSession) -> None:
    async with client.head("/console/") as got:
        assert (got.status, await got.read()) == (200, b"")
        assert int(got.headers["Content-Length"]) > 0


async def test_redirects_are_the_callers_to_follow(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "http://elsewhere.example/x"})

    upstream.handler = answer
    async with client.get("/v1/me", allow_redirects=False) as got:
        assert (got.status, got.headers["Location"]) == (302, "http://elsewhere.example/x")


async def test_an_event_stream_passes_piece_by_piece_and_ends_with_its_reader(
    client: aiohttp.ClientSession, upstream: Upstream
) -> None:
    ended = asyncio.Event()
    go_on = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        try:
            await stream.write(b"data: 1\n\n")
            await go_on.wait()
            await stream.write(b"data: 2\n\n")
            await asyncio.Event().wait()
        finally:
            ended.set()
        return stream

    upstream.handler = answer
    async with client.get("/v1/events") as got:
        assert await got.content.readuntil(b"\n\n") == b"data: 1\n\n"
        go_on.set()
        assert await got.content.readuntil(b"\n\n") == b"data: 2\n\n"
        assert not ended.is_set()
        got.close()
    await asyncio.wait_for(ended.wait(), 60)


async def assert_problem(got: aiohttp.ClientResponse, status: int, code: str) -> None:
    assert (got.status, got.content_type) == (status, "application/problem+json")
    body = json.loads(await got.read())
    assert (body["status"], body["code"]) == (status, code)
    assert set(body) >= {"type", "title", "detail"}


async def test_a_service_that_is_away_is_503_and_may_be_retried(client: aiohttp.ClientSession) -> None:
    async with client.post("/v1/inbound/x", data=b"{}") as got:
        await assert_problem(got, 503, "UNAVAILABLE")
        assert got.headers["Retry-After"] == "1"


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/me", "/v1/nothing", "/v1/snippets", "/metrics"])
async def test_a_path_without_a_service_is_404(client: aiohttp.ClientSession, upstream: Upstream, path: str) -> None:
    async with client.get(path) as got:
        await assert_problem(got, 404, "NOT_FOUND")
    assert upstream.seen == []


async def sent(port: int, line: bytes) -> tuple[bytes, bytes]:
    """A request of this very line. -> (head of the answer, its body)"""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(line + b"\r\nHost: desk.example\r\nConnection: close\r\n\r\n")
    head, _, body = (await asyncio.wait_for(reader.read(), 60)).partition(b"\r\n\r\n")
    writer.close()
    return head, body


@pytest.mark.parametrize("scheme", [b"http", b"https", b"HTTP"])
async def test_a_target_in_absolute_form_is_its_path(port: int, upstream: Upstream, scheme: bytes) -> None:
    head, body = await sent(port, b"GET %b://desk.example:99/v1/me/a%%2Fb?q=%%C3%%A9+x HTTP/1.1" % scheme)
    assert (head.splitlines()[0], json.loads(body)) == (b"HTTP/1.1 200 OK", {"path": "/v1/me/a%2Fb?q=%C3%A9+x"})


def assert_raw_problem(head: bytes, body: bytes, status: int, code: str) -> None:
    first, *headers = head.lower().splitlines()
    assert first.split()[1] == str(status).encode() and b"content-type: application/problem+json" in headers
    assert json.loads(body)["code"] == code


@pytest.mark.parametrize("target", [b"http://desk.example", b"http://desk.example/?q=1", b"*", b"//desk.example/v1/me"])
async def test_a_target_without_a_path_of_ours_is_404(port: int, target: bytes) -> None:
    assert_raw_problem(*await sent(port, b"OPTIONS %b HTTP/1.1" % target), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "line", [b"GET http://[::1/v1/me HTTP/1.1", b"GET v1/me HTTP/1.1", b"G\0T / HTTP/1.1", b"hello"]
)
async def test_what_is_no_request_is_malformed(port: int, line: bytes) -> None:
    assert_raw_problem(*await sent(port, line), 400, "MALFORMED")


async def test_a_fault_of_the_proxys_own_is_a_problem_that_does_not_show_it(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: str) -> str:
        raise ValueError("inner workings")

    monkeypatch.setattr("relaydesk.proxy.service_for", broken)
    async with client.get("/v1/me") as got:
        await assert_problem(got, 500, "INTERNAL")
        assert b"inner" not in await got.read()


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_request_whose_connection_is_lost_is_not_repeated(
    client: aiohttp.ClientSession, upstream: Upstream, method: str
) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        raise asyncio.CancelledError

    upstream.handler = hang_up
    async with client.request(method, "/v1/me") as got:
        await assert_problem(got, 503, "UNAVAILABLE")
    assert len(upstream.seen) == 1


async def test_a_body_that_is_cut_off_does_not_look_complete(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    async def cut_off(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return stream

    upstream.handler = cut_off
    with pytest.raises(aiohttp.ClientError):
        async with client.get("/v1/me") as got:
            await got.read()


async def test_many_open_streams_do_not_keep_others_waiting(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/events":
            await asyncio.Event().wait()
        return web.Response(text="here")

    upstream.handler = answer
    streams = [asyncio.create_task(client.get("/v1/events").__aenter__()) for _ in range(90)]
    await eventually(lambda: len(upstream.seen) == 90, "all streams are open")
    async with client.get("/v1/me") as got:
        assert await got.text() == "here"
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
