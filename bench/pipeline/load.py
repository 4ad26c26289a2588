"""The load: signed requests made beforehand, written to keep-alive connections as bytes, closed or open loop."""

import asyncio
import itertools
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from standardwebhooks.webhooks import Webhook

MARK = "bm-"
"""What the external ids of the bench's messages begin with."""


@dataclass(frozen=True, slots=True)
class Target:
    """The signed channel that takes the load."""

    base: str
    channel: str
    secret: str


@dataclass(frozen=True, slots=True)
class Request:
    raw: bytes
    ids: tuple[str, ...]


@dataclass(slots=True)
class Sent:
    """What a phase sent: external id -> moment (monotonic seconds) of the intended send, and of the 202."""

    begun: float = 0.0
    intended: dict[str, float] = field(default_factory=dict)
    accepted: dict[str, float] = field(default_factory=dict)
    refused: int = 0


def requests(target: Target, count: int, events: int, contacts: int) -> list[Request]:
    """Signatures hold for five minutes: make them at the start of the phase that sends them."""
    run, numbers = uuid.uuid4().hex[:8], itertools.count()
    signer, host = Webhook(target.secret), urlsplit(target.base).netloc
    return [
        _request(target, signer, host, [(run, next(numbers)) for _ in range(events)], contacts) for _ in range(count)
    ]


def _request(target: Target, signer: Webhook, host: str, names: list[tuple[str, int]], contacts: int) -> Request:
    now, ident = datetime.now(UTC), f"msg_{uuid.uuid4().hex}"
    stamp = now.isoformat(timespec="milliseconds")
    ids = tuple(f"{MARK}{run}-{number}" for run, number in names)
    text = "Good morning, my parcel has not come yet. Could you have a look where it is? Thank you."
    said = [
        {"type": "message", "id": name, "from": {"id": f"load-{number % contacts}"}, "text": text, "occurred_at": stamp}
        for name, (_, number) in zip(ids, names, strict=True)
    ]
    body = json.dumps({"events": said}).encode()
    head = (
        f"POST /v1/inbound/{target.channel} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nwebhook-id: {ident}\r\nwebhook-timestamp: {int(now.timestamp())}\r\n"
        f"webhook-signature: {signer.sign(ident, now, body.decode())}\r\n\r\n"
    )
    return Request(head.encode() + body, ids)


class Connection:
    """One keep-alive connection; one request at a time."""

    def __init__(self, base: str) -> None:
        address = urlsplit(base)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80

    async def open(self) -> "Connection":
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def status(self, raw: bytes) -> int:
        self._writer.write(raw)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length or 0))
        return int(head[9:12])

    def close(self) -> None:
        self._writer.close()


async def closed_loop(target: Target, work: list[Request], connections: int, seconds: float) -> Sent:
    """Each connection sends its next request when the last is answered, until the time or the work is up."""
    sent, queue = Sent(begun=time.monotonic()), iter(work)
    end = sent.begun + seconds
    opened = [await Connection(target.base).open() for _ in range(connections)]
    await asyncio.gather(*(_drain(one, queue, sent, end) for one in opened))
    for one in opened:
        one.close()
    return sent


async def _drain(connection: Connection, queue: Iterator[Request], sent: Sent, end: float) -> None:
    for request in queue:
        await _send(connection, request, sent, time.monotonic())
        if time.monotonic() >= end:
            return


async def open_loop(target: Target, work: list[Request], rate: float, connections: int = 64) -> Sent:
    """`rate` requests a second, each at its own moment whatever became of those before. A request that finds no free
    connection waits, and its wait counts: latencies begin at the intended moment."""
    sent = Sent(begun=time.monotonic())
    free: asyncio.Queue[Connection] = asyncio.Queue()
    opened = [await Connection(target.base).open() for _ in range(connections)]
    for one in opened:
        free.put_nowait(one)

    async def post(request: Request, due: float) -> None:
        connection = await free.get()
        try:
            await _send(connection, request, sent, due)
        finally:
            free.put_nowait(connection)

    async with asyncio.TaskGroup() as posts:
        start = time.monotonic()
        for number, request in enumerate(work):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            posts.create_task(post(request, due))
    for one in opened:
        one.close()
    return sent


async def _send(connection: Connection, request: Request, sent: Sent, due: float) -> None:
    for name in request.ids:
        sent.intended[name] = due
    status = await connection.status(request.raw)
    now = time.monotonic()
    if status != 202:
        sent.refused += 1
        return
    for name in request.ids:
        sent.accepted[name] = now
