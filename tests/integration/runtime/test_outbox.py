"""Nothing a document says is lost, and what a compacted topic keeps last is the newest, whoever crashes when."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta

import pytest
import pytest_asyncio

from shared.engines.addresses import Addresses
from shared.runtime import outbox as outboxes
from shared.runtime.faults import Transient
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Document, Driver, Mongo
from shared.runtime.outbox import Outbox, pending_entries
from shared.runtime.records import Outgoing
from shared.testing.eventually import eventually
from tests.unit.runtime.tokens import StillClock


class Topic:
    """Keeps what was published in order; may be made to hang or to fail."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.error: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        self.asked.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        self.records.extend(records)

    @property
    def versions(self) -> list[bytes | None]:
        return [record.value for record in self.records]


class World:
    """Documents of the collection `channels`, with as many replicas of the outbox as a test wants."""

    def __init__(self, mongo: Mongo) -> None:
        self.mongo = mongo
        self.clock = StillClock()
        self.metrics = Metrics()

    def replica(self, topic: Topic) -> Outbox:
        return Outbox(self.mongo.db, topic, ["channels"], self.metrics, self.clock)

    async def write(self, ident: str, *versions: int) -> None:
        for version in versions:
            entries = pending_entries([record(ident, version)], self.clock.now())
            change = {"$set": {"version": version}, "$push": {"pending": {"$each": entries}}}
            await self.mongo.db["channels"].update_one({"_id": ident}, change, upsert=True)

    async def document(self, ident: str) -> Document:
        found = await self.mongo.db["channels"].find_one({"_id": ident})
        assert found is not None
        return found

    async def expire_leases(self) -> None:
        await self.mongo.db["channels"].update_many({}, [{"$set": {"outbox.until": {"$subtract": ["$$NOW", 1]}}}])


def record(ident: str, version: int) -> Outgoing:
    return Outgoing("channels", ident, b"v%d" % version, (("version", b"%d" % version),))


@pytest_asyncio.fixture(params=["motor", "pymongo"])
async def world(request: pytest.FixtureRequest, engines: Addresses, mongo_prefix: str) -> AsyncIterator[World]:
    driver: Driver = request.param
    mongo = Mongo(engines.mongo, f"{mongo_prefix}_test", driver, Metrics())
    await mongo.start()
    yield World(mongo)
    await mongo.stop()


async def test_a_flush_publishes_in_version_order_and_leaves_the_document_clean(world: World) -> None:
    topic = Topic()
    await world.write("c", 1, 2, 3)
    await world.replica(topic).flush("channels", "c")
    assert topic.records == [record("c", 1), record("c", 2), record("c", 3)]
    assert await world.document("c") == {"_id": "c", "version": 3, "pending": []}


async def test_a_tombstone_and_bytes_survive_the_store(world: World) -> None:
    topic, odd = Topic(), Outgoing("channels", "c", b"\x00\xff", (("h", b"\xfe"), ("h", b"")))
    entries = pending_entries([odd, Outgoing("channels", "c", None)], world.clock.now())
    await world.mongo.db["channels"].insert_one({"_id": "c", "pending": entries})
    await world.replica(topic).flush("channels", "c")
    assert topic.records == [odd, Outgoing("channels", "c", None)]


async def test_nothing_pending_and_no_document_publish_nothing(world: World) -> None:
    topic = Topic()
    await world.mongo.db["channels"].insert_one({"_id": "c", "version": 1})
    await world.replica(topic).flush("channels", "c")
    await world.replica(topic).flush("channels", "unknown")
    assert topic.records == []


async def test_what_the_broker_did_not_acknowledge_stays_and_goes_out_later_the_same(world: World) -> None:
    topic = Topic()
    box = world.replica(topic)
    await world.write("c", 1)
    topic.error = Transient("unknown")
    with pytest.raises(Transient):
        await box.flush("channels", "c")
    assert len((await world.document("c"))["pending"]) == 1
    topic.error = None
    await world.write("c", 2)
    await box.flush("channels", "c")
    assert topic.versions == [b"v1", b"v2"]


async def test_a_change_made_during_a_flush_goes_out_after_it_by_the_same_hand(world: World) -> None:
    topic = Topic()
    topic.hold = asyncio.Event()
    box = world.replica(topic)
    await world.write("c", 1)
    flushing = asyncio.create_task(box.flush("channels", "c"))
    await topic.asked.wait()
    await world.write("c", 2)
    second = asyncio.create_task(box.flush("channels", "c"))
    topic.hold.set()
    await asyncio.gather(flushing, second)
    assert topic.versions == [b"v1", b"v2"]
    assert (await world.document("c"))["pending"] == []


async def test_a_slow_replica_cannot_put_an_old_version_after_a_newer_one(world: World) -> None:
    topic, slow = Topic(), Topic()
    slow.hold = asyncio.Event()
    slow.records = topic.records
    await world.write("c", 1)
    held = asyncio.create_task(world.replica(slow).flush("channels", "c"))
    await slow.asked.wait()
    await world.write("c", 2)
    await world.replica(topic).flush("channels", "c")
    assert topic.versions == []
    slow.hold.set()
    await held
    assert topic.versions == [b"v1", b"v2"]


async def test_the_lease_of_a_crashed_replica_runs_out(world: World) -> None:
    crashed, topic = Topic(), Topic()
    crashed.error = Transient("the process died here")
    await world.write("c", 1)
    with pytest.raises(Transient):
        await world.replica(crashed).flush("channels", "c")
    await world.replica(topic).flush("channels", "c")
    assert topic.versions == []
    await world.expire_leases()
    await world.replica(topic).flush("channels", "c")
    assert topic.versions == [b"v1"]


async def test_the_sweep_sends_what_a_crash_left_and_leaves_fresh_writes_to_their_writer(world: World) -> None:
    topic = Topic()
    box = world.replica(topic)
    await world.write("old", 1)
    world.clock.advance(timedelta(minutes=1).total_seconds())
    await world.write("fresh", 1)
    world.clock.advance(2)
    assert await box.sweep() == 1
    assert [record.key for record in topic.records] == ["old"]
    world.clock.advance(10)
    assert await box.sweep() == 1
    assert [record.key for record in topic.records] == ["old", "fresh"]
    assert await box.sweep() == 0


async def test_a_document_that_cannot_be_published_holds_up_no_other(world: World) -> None:
    class Picky(Topic):
        async def publish(self, records: Sequence[Outgoing]) -> None:
            if records[0].key == "a":
                raise ValueError("larger than 2 MiB")
            await super().publish(records)

    topic = Picky()
    for ident in ("a", "b"):
        await world.write(ident, 1)
    world.clock.advance(60)
    assert await world.replica(topic).sweep() == 2
    assert [record.key for record in topic.records] == ["b"]
    assert 'relaydesk_outbox_failures_total{collection="channels"} 1.0' in world.metrics.exposition().decode()


async def test_a_broker_away_ends_the_sweep_at_once(world: World) -> None:
    topic = Topic()
    topic.error = Transient("away")
    for ident in ("a", "b", "c"):
        await world.write(ident, 1)
    world.clock.advance(60)
    with pytest.raises(Transient):
        await world.replica(topic).sweep()
    assert 'relaydesk_outbox_failures_total{collection="channels"} 1.0' in world.metrics.exposition().decode()


async def test_a_start_sweeps_and_the_sweep_goes_on_after_an_outage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outboxes, "SWEEP_EVERY_S", 0.05)
    topic = Topic()
    topic.error = Transient("away")
    await world.write("c", 1)
    world.clock.advance(60)
    box = world.replica(topic)
    await box.start()
    await topic.asked.wait()
    topic.error = None
    published: Callable[[], bool] = lambda: topic.versions == [b"v1"]  # noqa: E731
    await eventually(published, "the record")
    await box.stop()


async def test_the_sweep_reads_an_index_not_the_collection(world: World) -> None:
    box = world.replica(Topic())
    await box.start()
    await box.stop()
    await world.mongo.db["channels"].insert_many([{"_id": n, "pending": []} for n in range(200)])
    plan = await world.mongo.db.command(
        "explain",
        {"find": "channels", "filter": {"pending.at": {"$lt": world.clock.now()}}},
        verbosity="executionStats",
    )
    assert plan["executionStats"]["totalDocsExamined"] == 0


async def test_many_writers_and_replicas_end_with_the_newest_version_last(world: World) -> None:
    topic = Topic()
    boxes = [world.replica(topic) for _ in range(3)]
    for version in range(1, 21):
        await world.write("c", version)
        await asyncio.gather(*(box.flush("channels", "c") for box in boxes))
    await boxes[0].flush("channels", "c")
    assert topic.versions == [b"v%d" % version for version in range(1, 21)]


async def test_many_documents_go_out_together_each_in_its_order(world: World) -> None:
    topic = Topic()
    outbox = world.replica(topic)
    for number in range(30):
        await world.write(f"c-{number:02}", 1, 2)
    await outbox.flush_all("channels", [f"c-{number:02}" for number in range(30)] + ["nothing"])
    assert len(topic.records) == 60
    for number in range(30):
        own = [found.value for found in topic.records if found.key == record(f"c-{number:02}", 1).key]
        assert own == [record("x", 1).value, record("x", 2).value]
        assert "outbox" not in await world.document(f"c-{number:02}")


async def test_what_comes_while_many_go_out_goes_out_after_them(world: World) -> None:
    topic = Topic()
    topic.hold = asyncio.Event()
    outbox, other = world.replica(topic), world.replica(Topic())
    await world.write("a", 1)
    await world.write("b", 1)
    flushing = asyncio.create_task(outbox.flush_all("channels", ["b", "a"]))
    await topic.asked.wait()
    await world.write("a", 2)
    await other.flush("channels", "a")
    own = asyncio.create_task(outbox.flush("channels", "a"))
    topic.hold.set()
    await asyncio.gather(flushing, own)
    assert sorted((found.key, found.value) for found in topic.records[:2]) == [
        (record(name, 1).key, record(name, 1).value) for name in ("a", "b")
    ]
    assert [found.value for found in topic.records[2:]] == [record("a", 2).value]


async def test_many_that_could_not_go_out_go_out_with_the_next_flush(world: World) -> None:
    topic = Topic()
    topic.error = Transient("away")
    outbox = world.replica(topic)
    await world.write("a", 1)
    await world.write("b", 1)
    with pytest.raises(Transient):
        await outbox.flush_all("channels", ["a", "b"])
    topic.error = None
    await outbox.flush_all("channels", ["a", "b"])
    assert len(topic.records) == 2
