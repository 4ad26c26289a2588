"""The frames of the stream, each built once and written to many sockets as it is (DESIGN 8). Pure.

A frame here is a complete unmasked WebSocket text frame (RFC 6455 section 5.2), header included, so that several join
into one write by concatenation.
"""

import json
from collections.abc import Iterator
from typing import Any

_TEXT = 0x81
_LENGTH_16, _LENGTH_64 = 126, 127


def framed(payload: bytes) -> bytes:
    size = len(payload)
    if size < _LENGTH_16:
        header = bytes((_TEXT, size))
    elif size < 1 << 16:
        header = bytes((_TEXT, _LENGTH_16)) + size.to_bytes(2, "big")
    else:
        header = bytes((_TEXT, _LENGTH_64)) + size.to_bytes(8, "big")
    return header + payload


def payloads(data: bytes) -> Iterator[bytes]:
    """What `framed` was given, of any number of frames one after the other."""
    at = 0
    while at < len(data):
        size, at = data[at + 1], at + 2
        if size >= _LENGTH_16:
            width = 2 if size == _LENGTH_16 else 8
            size, at = int.from_bytes(data[at : at + width], "big"), at + width
        yield data[at : at + size]
        at += size


def event(cursor: str, value: bytes) -> bytes:
    """`value` is the record's value, a JSON object: it is not parsed."""
    return framed(b'{"type":"event","cursor":"%b","event":%b}' % (cursor.encode(), value))


def welcome(cursor: str, recovered: bool, heartbeat_s: float) -> bytes:
    return _control(type="welcome", cursor=cursor, recovered=recovered, heartbeat_s=heartbeat_s)


def heartbeat(cursor: str) -> bytes:
    return _control(type="heartbeat", cursor=cursor)


def snapshot_required(cursor: str, reason: str) -> bytes:
    return _control(type="snapshot_required", cursor=cursor, reason=reason)


def ephemeral(value: bytes) -> bytes:
    """`value` is the JSON of a CloudEvent."""
    return framed(b'{"type":"ephemeral","event":%b}' % value)


def error(code: str) -> bytes:
    return _control(type="error", code=code)


def _control(**fields: Any) -> bytes:
    return framed(json.dumps(fields, separators=(",", ":")).encode())
