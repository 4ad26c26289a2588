"""Request bodies: bounded in size and depth, strict UTF-8 JSON. Whatever is sent, the outcome is a value or a 4xx."""

import json
from collections.abc import Iterable
from typing import Any

import orjson
from starlette.requests import Request

from shared.runtime.problems import Problem

DRAINED_BYTES = 8 * 1024 * 1024

MAX_DEPTH = 64
"""Deeper JSON is refused: serializers and BSON (100 levels) have limits of their own, and would fail later."""


async def limited_body(request: Request, limit: int) -> bytes:
    """At most `limit` bytes of body. Problem 413 where more is announced or arrives.

    What comes after the limit is read and dropped, up to `DRAINED_BYTES`: an answer while the sender still sends ends
    in a reset connection, and a sender (a proxy in between, too) that never sees it.
    """
    text = request.headers.get("content-length", "0")
    announced = int(text[:20]) if text.isdecimal() else 0
    if announced > limit + DRAINED_BYTES:
        raise _too_large(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit + DRAINED_BYTES:
            break
        if size <= limit:
            chunks.append(chunk)
    if max(size, announced) > limit:
        raise _too_large(limit)
    return b"".join(chunks)


def parse_json(body: bytes) -> Any:
    """The value of a JSON document. JSONDecodeError for anything else, also too deep nesting and lone surrogates."""
    value = orjson.loads(body)
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth_exceeds(value, MAX_DEPTH):
        raise json.JSONDecodeError(f"nested deeper than {MAX_DEPTH} levels", "", 0)
    return value


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _children(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _too_large(limit: int) -> Problem:
    return Problem(413, "BODY_TOO_LARGE", f"The body is larger than {limit:,} bytes.")
