"""Signed events over HTTP to a real Kafka."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from shared.contracts import wire
from shared.contracts.inbound import Inbound, MessageReceived
from shared.runtime.records import Record
from shared.testing.api import Api, Channel, said, someone
from tests.integration.ingest.installation import Installation


async def a_channel(installation: Installation, base: str, owner: Api, **fields: object) -> Channel:
    made = await owner.ok("POST", "/v1/channels", {"kind": "webhook", "name": "Shop", **fields})
    return await installation.adapter(base, made["id"], made["secret"])


def of(channel: Channel, records: list[Record]) -> list[Inbound]:
    taken = [wire.decode_inbound(record.value or b"") for record in records]
    return [record for record in taken if record.channel_id == channel.ident]


async def test_what_is_accepted_is_on_the_topic(installation: Installation, base: str, owner: Api) -> None:
    channel = await a_channel(installation, base, owner, bot={"kind": "webhook", "settings": {"url": "http://b.test"}})
    answer = await channel.post([said("ada", "Hello 👋"), said("ben", "hi"), said("ada", "again")])
    assert (answer.status, answer.body["accepted"]) == (202, 3)
    taken = of(channel, await installation.read("channel.inbound"))
    assert {record.id for record in taken} == set(answer.body["ids"])
    assert {record.bot_kind for record in taken} == {"webhook"}
    adas = [record.text for record in taken if isinstance(record, MessageReceived) and record.sender.id == "ada"]
    assert adas == ["Hello 👋", "again"]


async def test_a_new_channel_is_open_at_once_on_every_replica(
    installation: Installation, base: str, owner: Api
) -> None:
    other = await installation.replica()
    here = await a_channel(installation, base, owner)
    there = Channel(await installation.member(other, "agent", "x"), here.ident, here._secret)
    assert [(await one.post([said("ada", "hi")])).status for one in (here, there)] == [202, 202]


async def test_a_thousand_events_fit_in_one_request(installation: Installation, base: str, owner: Api) -> None:
    channel = await a_channel(installation, base, owner)
    answer = await channel.post([said(f"c{n % 50}", f"message {n}", f"m{n}") for n in range(1000)])
    assert (answer.status, len(set(answer.body["ids"]))) == (202, 1000)
    assert len(of(channel, await installation.read("channel.inbound"))) == 1000


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"{not json", 400, "MALFORMED"),
        (b"[" * 100_000, 400, "MALFORMED"),
        (b'{"events":[{"type":"message"}]}', 400, "MALFORMED"),
        (json.dumps({"events": [said("x", "a\0b")]}).encode(), 400, "MALFORMED"),
        (json.dumps({"events": [said("x", "a" * 16_385)]}).encode(), 400, "TOO_LARGE"),
        (json.dumps({"events": [said("x", "a")] * 1001}).encode(), 413, "BODY_TOO_LARGE"),
        (b" " * (1 << 20) + b" {}", 413, "BODY_TOO_LARGE"),
    ],
)
async def test_nothing_of_a_refused_body_is_taken(
    installation: Installation, base: str, owner: Api, raw: bytes, status: int, code: str
) -> None:
    channel = await a_channel(installation, base, owner)
    answer = await channel.post_raw(raw)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert "application/problem+json" in answer.headers["content-type"]
    assert of(channel, await installation.read("channel.inbound")) == []


async def test_bytes_that_are_no_text_are_malformed(installation: Installation, base: str, owner: Api) -> None:
    channel = await a_channel(installation, base, owner)
    async with Api(base, None) as api:
        answer = await api.call("POST", f"/v1/inbound/{channel.ident}", b"\xff\xfe\x00", channel.signed(b""))
    assert (answer.status, answer.body["code"]) == (400, "MALFORMED")


async def test_a_body_without_an_end_is_cut_off(installation: Installation, base: str, owner: Api) -> None:
    channel = await a_channel(installation, base, owner)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 256 << 20:
            sent += 64 << 10
            yield b" " * (64 << 10)

    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(f"{base}/v1/inbound/{channel.ident}", data=endless()) as answer:
                assert answer.status == 413
        except aiohttp.ClientConnectionError:
            pass  # the server may also close before the client has stopped sending
    assert sent < 32 << 20  # what is read before the answer, and the kernel's buffers of both sides


async def test_strangers_are_told_apart(installation: Installation, base: str, owner: Api) -> None:
    channel = await a_channel(installation, base, owner)
    other = await a_channel(installation, base, owner)
    forged = Channel(channel._api, channel.ident, other._secret)
    assert (await forged.post([said("ada", "hi")])).body["code"] == "BAD_SIGNATURE"
    nowhere = Channel(channel._api, "2f0e7b5c-3c5e-4a51-9a13-8f2f0a6f1a77", channel._secret)
    assert (await nowhere.post([said("ada", "hi")])).status == 404
    assert (await channel._api.call("GET", f"/v1/inbound/{channel.ident}")).status == 405
    assert (await channel._api.call("GET", f"/v1/inbound/{nowhere.ident}")).status == 404


async def test_the_same_message_posted_by_many_at_once_is_the_same_record(
    installation: Installation, base: str, owner: Api
) -> None:
    channel, event = await a_channel(installation, base, owner), said(someone(), "once")
    answers = await asyncio.gather(*(channel.post([event]) for _ in range(10)))
    assert len({answer.body["ids"][0] for answer in answers}) == 1
