"""Errors reach the client over a real connection, also while it is still sending."""

import asyncio
import http.client
from collections.abc import AsyncIterator

import pytest_asyncio
from fastapi import Request

from shared.runtime.component import ASGIApp
from shared.runtime.http import api, route
from shared.runtime.listening import Listener
from shared.runtime.metrics import Metrics

MEBIBYTE = 1 << 20


def application() -> ASGIApp:
    app = api("ingest", None, Metrics())

    @route(app, "POST", "/v1/inbound/{channel_id}")
    async def inbound(channel_id: str, request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    return app


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    listener = Listener(application(), "127.0.0.1", 0)
    yield await listener.open()
    await listener.close(1)


def post(connection: http.client.HTTPConnection, body: bytes, chunked: bool = False) -> tuple[int, bytes]:
    sent = iter([body]) if chunked else body
    connection.request("POST", "/v1/inbound/c-1", sent, {"Content-Type": "application/json"}, encode_chunked=chunked)
    answer = connection.getresponse()
    return answer.status, answer.read()


async def test_a_body_over_the_limit_is_answered_and_the_connection_stays_usable(port: int) -> None:
    def talk() -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            too_large = b" " * (5 * MEBIBYTE)
            return [post(connection, body)[0] for body in (too_large, b"x" * MEBIBYTE, too_large, b"{}")]
        finally:
            connection.close()

    assert await asyncio.to_thread(talk) == [413, 200, 413, 200]


async def test_a_body_of_unknown_length_is_limited_too(port: int) -> None:
    def talk() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            return post(connection, b" " * (MEBIBYTE + 1), chunked=True)
        finally:
            connection.close()

    status, body = await asyncio.to_thread(talk)
    assert status == 413
    assert b"BODY_TOO_LARGE" in body
