"""Uploading as a browser does it: announced to us, sent to the object store, completed; by the public contract."""

import asyncio
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from shared.testing.api import Api
from shared.testing.eventually import eventually

CHECKED_WITHIN_S = 120.0
"""A file waits for those before it, and for a process of its own."""


@dataclass(frozen=True, slots=True)
class Got:
    """What the object store answered."""

    status: int
    body: bytes
    headers: dict[str, str]


async def fetch(url: str, method: str = "GET", data: bytes | None = None) -> Got:
    return await asyncio.to_thread(_fetch, url, method, data)


def _fetch(url: str, method: str, data: bytes | None) -> Got:
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Got(answer.status, answer.read(), headers)
    except urllib.error.HTTPError as error:
        with error:
            return Got(error.code, error.read(), {})


async def announced(manager: Api, content: bytes, name: str = "picture.png", **fields: Any) -> dict[str, Any]:
    body = {"name": name, "content_type": "image/png", "size": len(content), **fields}
    made: dict[str, Any] = await manager.ok("POST", "/v1/files", body)
    return made


async def uploaded(manager: Api, content: bytes, name: str = "picture.png", **fields: Any) -> dict[str, Any]:
    """As a browser does it: announced, sent to the store, completed."""
    made = await announced(manager, content, name, **fields)
    assert (await fetch(made["upload"]["url"], made["upload"]["method"], content)).status == 200
    assert (await manager.call("POST", f"/v1/files/{made['id']}/complete")).status == 202
    return made


async def settled(api: Api, made: dict[str, Any]) -> dict[str, Any]:
    async def state() -> dict[str, Any] | None:
        found = await api.ok("GET", f"/v1/files/{made['id']}")
        return found if found["state"] in ("ready", "rejected") else None

    return await eventually(state, "ready or rejected", CHECKED_WITHIN_S)
