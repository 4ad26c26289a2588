"""Against a real local server, since what matters is what goes over the wire."""

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.dispatch.fence import Silenced
from shared.runtime import outbound_http
from shared.runtime.outbound_http import Bounds, NotBegun, OutboundHttp, Unanswered
from shared.runtime.outbound_url import OutboundPolicy
from shared.testing.adapter import Adapter, Breaks, Hangs, Says
from shared.testing.eventually import eventually

BOUNDS = Bounds(deadline_s=60.0, connect_s=60.0, answer_bytes=1000)
BODY = b'{"conversation_id":"c"}'
HEADERS = {"content-type": "application/json", "webhook-id": "m-1"}


@pytest_asyncio.fixture
async def adapter() -> AsyncIterator[Adapter]:
    async with Adapter() as adapter:
        yield adapter


@pytest_asyncio.fixture
async def http(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OutboundHttp]:
    monkeypatch.setattr(outbound_http, "KEEPALIVE_S", 60.0)  # between two requests of a test
    client = OutboundHttp(OutboundPolicy(allow_private=True))
    await client.start()
    yield client
    await client.stop()


async def test_an_answer_comes_with_status_headers_and_body(http: OutboundHttp, adapter: Adapter) -> None:
    adapter.behaviour = lambda seen: Says(503, b"later", {"Retry-After": "7"})
    answer = await http.post(adapter.url, HEADERS, BODY, BOUNDS)
    assert (answer.status, answer.body, answer.complete, answer.headers["retry-after"]) == (503, b"later", True, "7")
    assert adapter.seen[0].body == {"conversation_id": "c"}


async def test_a_redirect_is_an_answer_and_is_not_followed(http: OutboundHttp, adapter: Adapter) -> None:
    adapter.behaviour = lambda seen: Says(307, b"", {"Location": adapter.url})
    assert (await http.post(adapter.url, HEADERS, BODY, BOUNDS)).status == 307
    assert len(adapter.seen) == 1


async def test_of_a_huge_answer_only_the_beginning_is_read(http: OutboundHttp, adapter: Adapter) -> None:
    adapter.behaviour = lambda seen: Says(200, b"x" * 5_000_000)
    answer = await http.post(adapter.url, HEADERS, BODY, BOUNDS)
    assert (answer.status, answer.body, answer.complete) == (200, b"x" * 1000, False)


async def test_a_compressed_answer_is_not_unpacked(http: OutboundHttp, adapter: Adapter) -> None:
    bomb = gzip.compress(b"0" * 500_000)
    adapter.behaviour = lambda seen: Says(200, bomb, {"Content-Encoding": "gzip"})
    assert (await http.post(adapter.url, HEADERS, BODY, BOUNDS)).body == bomb


async def test_a_body_that_breaks_off_does_not_change_the_status(http: OutboundHttp, adapter: Adapter) -> None:
    adapter.behaviour = lambda seen: Breaks(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    answer = await http.post(adapter.url, HEADERS, BODY, BOUNDS)
    assert (answer.status, answer.body, answer.complete) == (200, b"half", False)


@contextlib.asynccontextmanager
async def speaking(*parts: bytes) -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """A server that answers every request with these very bytes, part by part, and closes nothing.
    -> (its URL, the connections made)"""
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(BODY))
                for part in parts:
                    writer.write(part)
                    await asyncio.sleep(0.02)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in", connections


@pytest.mark.parametrize("status", [204, 205, 304])
@pytest.mark.parametrize("apart", [False, True])
async def test_a_body_that_must_not_be_there_spoils_no_request(http: OutboundHttp, status: int, apart: bool) -> None:
    head = b"HTTP/1.1 %d Odd\r\nContent-Length: 2\r\n\r\n" % status
    async with speaking(*((head, b"{}") if apart else (head + b"{}",))) as (url, connections):
        for _ in range(4):
            assert (await http.post(url, HEADERS, BODY, BOUNDS)).status == status
            if status != 205:  # whose body is one, as far as framing goes
                await eventually(lambda: all(one.is_closing() for one in connections), "it is not used again")


@pytest.mark.parametrize(
    "parts",
    [(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"{}"), (b"HTTP/1.1 204 No Content\r\n\r\n",)],
    ids=["200", "204"],
)
async def test_a_connection_is_kept_for_the_next_request(http: OutboundHttp, parts: tuple[bytes, ...]) -> None:
    async with speaking(*parts) as (url, connections):
        for _ in range(3):
            assert (await http.post(url, HEADERS, BODY, BOUNDS)).body == b"".join(parts[1:])
    assert len(connections) == 1


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 20", b"SSH-2.0-OpenSSH\r\n", b"\x00\x01\x02\r\n\r\n"])
async def test_no_status_means_that_it_may_have_arrived(http: OutboundHttp, adapter: Adapter, raw: bytes) -> None:
    adapter.behaviour = lambda seen: Breaks(raw)
    with pytest.raises(Unanswered):
        await http.post(adapter.url, HEADERS, BODY, BOUNDS)
    assert len(adapter.seen) == 1


async def test_a_hanging_server_costs_the_deadline_and_not_more(http: OutboundHttp, adapter: Adapter) -> None:
    await http.post(adapter.url, HEADERS, BODY, BOUNDS)  # so that the connection stands
    adapter.behaviour = lambda seen: Hangs()
    begun = asyncio.get_running_loop().time()
    with pytest.raises(Unanswered, match="timed out"):
        await http.post(adapter.url, HEADERS, BODY, Bounds(deadline_s=0.5))
    assert asyncio.get_running_loop().time() - begun < 60, "it hangs for ever"


async def test_nobody_listening_means_that_nothing_went_out(http: OutboundHttp) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(NotBegun, match="ConnectionRefusedError"):
            await http.post(f"http://127.0.0.1:{taken.getsockname()[1]}/in", HEADERS, BODY, BOUNDS)


async def test_a_server_that_accepts_no_connection_means_that_nothing_went_out(http: OutboundHttp) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        queue = [socket.socket() for _ in range(2)]
        for waiting in queue:
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with pytest.raises(NotBegun):
            await http.post(f"http://127.0.0.1:{full.getsockname()[1]}/", HEADERS, BODY, Bounds(1.0, connect_s=0.2))
        for waiting in queue:
            waiting.close()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://x/", "http://u:p@x/", "http://[::1", "http://a b/", "http:///x"]
)
async def test_what_is_no_url_is_not_called(http: OutboundHttp, url: str) -> None:
    with pytest.raises(NotBegun):
        await http.post(url, HEADERS, BODY, BOUNDS)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:1/", "https://localhost:1/", "https://[::1]:1/", "http://example.org/"]
)
async def test_in_production_private_and_plain_addresses_are_not_called(url: str) -> None:
    client = OutboundHttp(OutboundPolicy(allow_private=False))
    await client.start()
    with pytest.raises(NotBegun):
        await client.post(url, HEADERS, BODY, BOUNDS)
    await client.stop()


async def test_a_closed_gate_lets_no_byte_out_and_says_why(http: OutboundHttp, adapter: Adapter) -> None:
    async def closed() -> None:
        raise Silenced

    for _ in range(2):  # on a new connection, and on one that stands
        with pytest.raises(Silenced):
            await http.post(adapter.url, HEADERS, BODY, BOUNDS, closed)
        assert not adapter.seen
    await http.post(adapter.url, HEADERS, BODY, BOUNDS)
    with pytest.raises(Silenced):
        await http.post(adapter.url, HEADERS, BODY, BOUNDS, closed)
    assert len(adapter.seen) == 1


async def test_what_a_gate_raises_is_not_taken_for_the_networks_fault(http: OutboundHttp, adapter: Adapter) -> None:
    async def gate() -> None:
        raise ConnectionResetError("of something else")

    with pytest.raises(ConnectionResetError, match="something else"):
        await http.post(adapter.url, HEADERS, BODY, BOUNDS, gate)


async def test_the_gate_is_asked_when_the_connection_stands(http: OutboundHttp) -> None:
    connected = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    async def gate() -> None:
        async with asyncio.timeout(30):
            await connected.wait()
        raise Silenced

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    with pytest.raises(Silenced):
        await http.post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", HEADERS, BODY, BOUNDS, gate)
    server.close()
    await server.wait_closed()


async def test_a_gate_that_takes_too_long_means_that_nothing_went_out(http: OutboundHttp, adapter: Adapter) -> None:
    async def slow() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NotBegun, match="timed out"):
        await http.post(adapter.url, HEADERS, BODY, Bounds(deadline_s=0.1), slow)
    assert not adapter.seen


async def test_requests_at_the_same_time_pass_their_own_gates(http: OutboundHttp, adapter: Adapter) -> None:
    async def one(n: int) -> str:
        async def gate() -> None:
            await asyncio.sleep(0)
            if n % 2:
                raise Silenced

        try:
            await http.post(adapter.url, HEADERS | {"webhook-id": str(n)}, BODY, BOUNDS, gate)
        except Silenced:
            return "silenced"
        return "sent"

    outcomes = await asyncio.gather(*(one(n) for n in range(20)))
    assert outcomes == ["sent", "silenced"] * 10
    assert sorted(int(seen.id) for seen in adapter.seen) == list(range(0, 20, 2))


async def test_after_stop_nothing_goes_out(adapter: Adapter) -> None:
    client = OutboundHttp(OutboundPolicy(allow_private=True))
    with pytest.raises(NotBegun):
        await client.post(adapter.url, HEADERS, BODY, BOUNDS)
