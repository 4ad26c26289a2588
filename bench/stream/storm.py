"""A reconnect storm: 5,000 sockets are cut at once, miss 100 events each, and come back together with their cursors."""

import multiprocessing
import re
import selectors
import socket
import time
from collections.abc import Iterable
from dataclasses import replace
from multiprocessing.connection import Connection

from bench.pipeline.report import Bar
from bench.stream.gateway import gateway, record
from bench.stream.sink import pin, request, until
from shared.runtime.records import Record

MISSED = 100
_CURSOR = re.compile(rb'"type":"welcome","cursor":"([^"]+)"')
_NUMBER = re.compile(rb'"number":(\d+)')
_LAST = b'"number":%d}' % (MISSED - 1)


async def storm(quick: bool) -> list[Bar]:
    """The seconds run from the cut until the last socket has its last event. The server is given the events when all
    are gone, so that every one of them is missed."""
    sockets = 1_000 if quick else 5_000
    server = gateway(heartbeat_s=3600)
    await server.start()
    tickets = server.issue(2 * sockets)
    ours, theirs = multiprocessing.Pipe()
    arguments = (server.port, tickets[:sockets], tickets[sockets:], theirs)
    multiprocessing.Process(target=_clients, args=arguments, daemon=True).start()
    await until(ours.poll)
    ours.recv()
    begun, used = time.monotonic(), time.process_time()
    ours.send("cut")
    await until(lambda: not server.hub.everybody())
    server.take([_numbered(number) for number in range(MISSED)])
    ours.send("come back")
    await until(ours.poll)
    whole = ours.recv()
    seconds, cpu = ours.recv() - begun, time.process_time() - used
    print(f"  {sockets:,} sockets: {seconds:.2f} s, {cpu / sockets * 1e6:,.0f} us of the server's CPU each", flush=True)
    return [
        Bar(f"{sockets:,} sockets cut, {MISSED} missed each: seconds", seconds, 10, at_most=True),
        Bar("of them with each event once and in order", whole, sockets),
    ]


def _numbered(number: int) -> Record:
    plain = record(number)
    assert plain.value is not None
    return replace(plain, value=plain.value[:-1] + b',"number":%d}' % number)


def _clients(port: int, first: list[str], second: list[str], pipe: Connection) -> None:
    """Tells that all are welcome; then, after the storm, how many got all, and when the last one had it."""
    pin(-1)
    welcomes = _read([request(port, ticket) for ticket in first], b'"type":"welcome"')
    cursors = [_CURSOR.findall(data)[0].decode() for data in welcomes.values()]
    pipe.send("welcome")
    pipe.recv()
    for sock in welcomes:
        sock.close()
    pipe.recv()
    answers = _read([request(port, ticket, cursor) for ticket, cursor in zip(second, cursors, strict=True)], _LAST)
    ended = time.monotonic()
    pipe.send(sum(is_whole(data) for data in answers.values()))
    pipe.send(ended)


def is_whole(data: bytes | bytearray) -> bool:
    """Every number once and in order, after a welcome that promised it."""
    return b'"recovered":true' in data and list(map(int, _NUMBER.findall(data))) == list(range(MISSED))


def _read(sockets: Iterable[socket.socket], last: bytes) -> dict[socket.socket, bytearray]:
    """What each gets until it has `last`."""
    poll, found = selectors.EpollSelector(), dict[socket.socket, bytearray]()
    for sock in sockets:
        found[sock] = bytearray()
        poll.register(sock, selectors.EVENT_READ, found[sock])
    left = len(found)
    while left:
        for key, _ in poll.select():
            assert isinstance(key.fileobj, socket.socket)
            data = key.data
            seen = max(0, len(data) - len(last))
            data += key.fileobj.recv(1 << 18)
            if data.find(last, seen) >= 0:
                poll.unregister(key.fileobj)
                left -= 1
    return found
