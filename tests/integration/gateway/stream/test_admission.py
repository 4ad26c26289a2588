"""Who may open the stream."""

import json
from dataclasses import replace

import pytest

from shared.testing.eventually import eventually
from shared.testing.stream_client import Peculiar, StreamClient, UpgradeRefused
from tests.integration.gateway.stream.conftest import SETTINGS, Replica, StreamWorld


async def refusal(replica: Replica, ticket: str, path: str = "", peculiar: Peculiar | None = None) -> tuple[int, str]:
    url = replica.stream.ticket(replica.principal()).url + path
    with pytest.raises(UpgradeRefused) as refused:
        await StreamClient.connect(url, ticket, "", peculiar)
    body = refused.value.body
    return refused.value.status, json.loads(body)["code"] if body.startswith(b"{") else ""


def fresh(replica: Replica) -> str:
    return replica.stream.ticket(replica.principal()).ticket


async def test_without_a_good_ticket_nobody_comes_in(world: StreamWorld) -> None:
    replica = await world.replica()
    good = fresh(replica)
    tampered = good[:-4] + "AAAA"
    for ticket in ("", "x", tampered, "é" * 50, "A" * 4_000):
        assert await refusal(replica, ticket) == (401, "UNAUTHENTICATED")


async def test_a_ticket_opens_one_connection(world: StreamWorld) -> None:
    replica = await world.replica()
    ticket = replica.stream.ticket(replica.principal())
    async with await StreamClient.connect(ticket.url, ticket.ticket):
        assert await refusal(replica, ticket.ticket) == (401, "UNAUTHENTICATED")


async def test_a_ticket_of_one_replica_opens_another(world: StreamWorld) -> None:
    first, second = await world.replica(), await world.replica()
    url = second.stream.ticket(second.principal()).url
    async with await StreamClient.connect(url, fresh(first)):
        assert await refusal(second, "x") == (401, "UNAUTHENTICATED")


async def test_another_path_does_not_exist(world: StreamWorld) -> None:
    replica = await world.replica()
    assert await refusal(replica, fresh(replica), "/else") == (404, "NOT_FOUND")


async def test_a_page_of_another_origin_may_not_connect(world: StreamWorld) -> None:
    replica = await world.replica(replace(SETTINGS, origins=("https://desk.example",)))
    evil = Peculiar(headers=(("Origin", "https://evil.example"),))
    assert await refusal(replica, fresh(replica), peculiar=evil) == (403, "FORBIDDEN")
    for headers in ((("Origin", "https://desk.example"),), ()):
        assert (await replica.client(peculiar=Peculiar(headers=headers))).welcome


async def test_a_browser_that_says_keep_alive_and_upgrade_may_connect(world: StreamWorld) -> None:
    replica = await world.replica()
    assert (await replica.client(peculiar=Peculiar(connection="keep-alive, Upgrade"))).welcome


async def test_a_plain_request_is_no_upgrade(world: StreamWorld) -> None:
    replica = await world.replica()
    assert (await refusal(replica, fresh(replica), peculiar=Peculiar(connection="close")))[0] == 400


async def test_a_full_replica_refuses_and_uses_no_ticket_up(world: StreamWorld) -> None:
    replica = await world.replica(replace(SETTINGS, max_sockets=2))
    first, _ = await replica.client(), await replica.client()
    ticket = fresh(replica)
    assert await refusal(replica, ticket) == (503, "UNAVAILABLE")
    first.cut()
    await eventually(lambda: replica.sockets() == 1, "there is room")
    url = replica.stream.ticket(replica.principal()).url
    async with await StreamClient.connect(url, ticket) as client:
        await eventually(lambda: client.welcome, "welcome")
