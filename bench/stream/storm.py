"""A reconnect storm: 5,000 sockets are cut at once, miss 100 events each, and come back together with their cursors."""

import asyncio
import multiprocessing
import re
import selectors
import socket
import time
from dataclasses import replace
from multiprocessing.connection import Connection

from bench.pipeline.report import Bar
from bench.stream.gateway import gateway, record
from bench.stream.sink import pin, request, until
from shared.runtime.records import Record

MISSED = 100
PATIENCE_S, LATER_S = 30.0, 1.0
"""What hasn't come after `PATIENCE_S` is lost. `LATER_S` after the storm one more event comes to all: who was given an
event again by then has it before this one."""

_CURSOR = re.compile(rb'"type":"welcome","cursor":"([^"]+)"')
_NUMBER = re.compile(rb'"number":(\d+)')
_LAST, _LIVE = (b'"number":%d}' % number for number in (MISSED - 1, MISSED))

_Found = dict[socket.socket, bytearray]


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
    theirs.close()
    ours.recv()
    begun, used = time.monotonic(), time.process_time()
    ours.send("cut")
    await until(lambda: not server.hub.everybody())
    server.take([_numbered(number) for number in range(MISSED)])
    ours.send("come back")
    await until(ours.poll)
    seconds, cpu = ours.recv() - begun, time.process_time() - used
    await asyncio.sleep(LATER_S)
    server.take([_numbered(MISSED)])
    await until(ours.poll)
    whole = ours.recv()
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
    """Tells that all are welcome; then when the last one had all that it missed; then how many got each event once."""
    pin(-1)
    welcomes: _Found = {request(port, ticket): bytearray() for ticket in first}
    _read(welcomes, b'"type":"welcome"')
    cursors = [_CURSOR.findall(data)[0].decode() for data in welcomes.values()]
    pipe.send("welcome")
    pipe.recv()
    for sock in welcomes:
        sock.close()
    pipe.recv()
    again: _Found = {request(port, *each): bytearray() for each in zip(second, cursors, strict=True)}
    _read(again, _LAST)
    pipe.send(time.monotonic())
    _read(again, _LIVE)
    pipe.send(sum(is_whole(data) for data in again.values()))


def is_whole(data: bytes | bytearray) -> bool:
    """Every number once and in order, the live one too, after a welcome that promised it."""
    return b'"recovered":true' in data and list(map(int, _NUMBER.findall(data))) == list(range(MISSED + 1))


def _read(found: _Found, last: bytes) -> None:
    """Adds what each gets, until it has `last`, the server has closed it, or patience is over."""
    poll = selectors.EpollSelector()
    for sock in found:
        poll.register(sock, selectors.EVENT_READ)
    left, deadline = len(found), time.monotonic() + PATIENCE_S
    while left and time.monotonic() < deadline:
        for key, _ in poll.select(1.0):
            assert isinstance(key.fileobj, socket.socket)
            data, more = found[key.fileobj], key.fileobj.recv(1 << 18)
            seen = max(0, len(data) - len(last))
            data += more
            if not more or data.find(last, seen) >= 0:
                poll.unregister(key.fileobj)
                left -= 1
