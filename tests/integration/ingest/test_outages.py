"""An engine goes away and comes back."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from relaydesk.installation import installation_secrets
from shared.contracts import wire
from shared.engines.local import LocalEngines
from shared.testing.api import said
from shared.testing.eventually import eventually
from tests.integration.ingest.installation import Installation
from tests.integration.neighbours import Neighbours
from tests.integration.replicas import Place


@pytest_asyncio.fixture
async def shaky(own_engines: LocalEngines, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """An installation whose engines may be hurt."""
    place = Place(own_engines.addresses, f"t{uuid.uuid4().hex[:10]}", tmp_path_factory.mktemp("ingest"))
    async with Neighbours() as neighbours:
        installed = Installation(place, installation_secrets(place.folder), neighbours)
        await installed.start()
        yield installed
        await installed.close()


async def test_without_kafka_nothing_is_accepted_and_channels_are_told_later(
    shaky: Installation, own_engines: LocalEngines, workspace: str
) -> None:
    base = await shaky.replica()
    owner = await shaky.member(base, "owner", workspace)
    channel = await owner.ok("POST", "/v1/channels", {"kind": "webhook", "name": "Shop"})
    adapter = await shaky.adapter(base, channel["id"], channel["secret"])
    event = said("ada", "hi")
    own_engines.kafka.kill()
    path = f"/v1/channels/{channel['id']}"
    posted, renamed = await asyncio.gather(adapter.post([event]), owner.ok("PATCH", path, {"name": "Store"}))
    assert (posted.status, posted.body["code"]) == (503, "UNAVAILABLE")
    assert renamed["name"] == "Store"

    own_engines.kafka.start()
    own_engines.kafka.wait_ready()

    async def accepted() -> list[str] | None:
        answer = await adapter.post([event])
        return list(answer.body["ids"]) if answer.status == 202 else None

    ids = await eventually(accepted, "it goes on by itself")
    await shaky.replica()  # a start sends what an outage left

    async def names() -> list[str]:
        return [wire.decode_channel(record.value or b"").name for record in await shaky.read("channels")]

    async def told() -> bool:
        return (await names())[-1:] == ["Store"]

    await eventually(told, "the change is told")
    taken = {wire.decode_inbound(record.value or b"").id for record in await shaky.read("channel.inbound")}
    assert taken == set(ids)


async def test_without_mongo_nothing_is_accepted_and_it_goes_on_by_itself(
    shaky: Installation, own_engines: LocalEngines, workspace: str
) -> None:
    base = await shaky.replica()
    owner = await shaky.member(base, "owner", workspace)
    channel = await owner.ok("POST", "/v1/channels", {"kind": "webhook", "name": "Shop"})
    adapter = await shaky.adapter(base, channel["id"], channel["secret"])
    own_engines.mongo.kill()
    posted, listed = await asyncio.gather(adapter.post([said("ada", "hi")]), owner.call("GET", "/v1/channels"))
    assert [(answer.status, answer.body["code"]) for answer in (posted, listed)] == [(503, "UNAVAILABLE")] * 2
    own_engines.mongo.start()
    own_engines.mongo.wait_ready()

    async def accepted() -> bool:
        return (await adapter.post([said("ada", "hi")])).status == 202

    await eventually(accepted, "it goes on by itself")
