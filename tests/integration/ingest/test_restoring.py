"""Channels of an older database, as the topic has them."""

from datetime import UTC, datetime

from services.ingest.restoring import restore
from services.ingest.store import ChannelStore
from shared.contracts.outbound import ChannelRecord, SealedSecret
from shared.engines.addresses import Addresses
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def channel(ident: str, version: int, deleted: bool = False) -> ChannelRecord:
    return ChannelRecord(
        workspace="acme",
        id=ident,
        kind="webhook",
        name=f"version {version}",
        settings={"outbound_url": "https://example.org/in"},
        bot=None,
        secrets=(SealedSecret(sealed="k.sealed"),),
        version=version,
        deleted=deleted,
    )


async def test_newer_ones_and_new_ones_come_and_nothing_goes_back(engines: Addresses, mongo_prefix: str) -> None:
    mongo = Mongo(engines.mongo, f"{mongo_prefix}_ingest", "motor", Metrics())
    store = ChannelStore(mongo)
    await store.start()
    assert await restore(store, [channel("a", 1), channel("b", 3), channel("c", 1)], NOW) == 3
    since = [channel("a", 2), channel("b", 2), channel("c", 2, deleted=True), channel("new", 5)]
    assert await restore(store, since, NOW) == 3
    found = {row.id: row for row in await store.page_of_all("", 10)}
    assert found == {"a": channel("a", 2), "b": channel("b", 3), "new": channel("new", 5)}
    assert await store.find("c") is None
    assert await restore(store, since, NOW) == 0
    await mongo.stop()
