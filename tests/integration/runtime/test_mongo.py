"""The same behaviour through Motor and through PyMongo's own client, on a real replica set."""

import asyncio
import os
import signal
import sys
import textwrap
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pymongo.errors
import pytest
import pytest_asyncio

from shared.engines.addresses import Addresses
from shared.engines.local import LocalEngines
from shared.runtime.engine_errors import is_away
from shared.runtime.faults import Transient
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import (
    BulkWriteError,
    Driver,
    DuplicateKeyError,
    InsertOne,
    Mongo,
    PyMongoError,
    ReplaceOne,
    ReturnDocument,
    Session,
    UpdateOne,
    is_duplicate,
)

NOWHERE = "mongodb://127.0.0.1:9/?replicaSet=rs0&serverSelectionTimeoutMS=200"


@pytest.fixture(params=["motor", "pymongo"])
def driver(request: pytest.FixtureRequest) -> Driver:
    chosen: Driver = request.param
    return chosen


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest_asyncio.fixture
async def mongo(engines: Addresses, mongo_prefix: str, driver: Driver, metrics: Metrics) -> AsyncIterator[Mongo]:
    client = Mongo(engines.mongo, f"{mongo_prefix}_test", driver, metrics)
    await client.start()
    await client.db["things"].insert_one({"_id": "counter", "n": 0})
    yield client
    await client.stop()


def counted(metrics: Metrics, line: str) -> bool:
    return line in metrics.exposition().decode()


async def test_calls_that_stores_use_are_the_same(mongo: Mongo) -> None:
    things = mongo.db["things"]
    await things.bulk_write([InsertOne({"_id": n, "n": n}) for n in range(5)])
    await things.bulk_write([ReplaceOne({"_id": 0}, {"n": 10}), UpdateOne({"_id": 1}, {"$set": {"n": 11}})])
    changed = await things.find_one_and_update({"_id": 2}, {"$inc": {"n": 1}}, return_document=ReturnDocument.AFTER)
    assert changed == {"_id": 2, "n": 3}
    assert [d["n"] async for d in things.find({"_id": {"$type": "int"}}).sort("_id", 1)] == [10, 11, 3, 3, 4]
    assert len(await things.find({}).limit(3).to_list(None)) == 3
    assert await mongo.aggregate("things", [{"$group": {"_id": None, "all": {"$sum": "$n"}}}]) == [
        {"_id": None, "all": 31}
    ]
    assert await things.count_documents({}) == 6
    assert (await things.update_one({"_id": 0, "n": 99}, {"$set": {"n": 1}})).matched_count == 0
    assert (await things.delete_one({"_id": 0})).deleted_count == 1


async def test_times_are_aware_and_uuids_survive(mongo: Mongo) -> None:
    now, ident = datetime.now(UTC).replace(microsecond=123_000), uuid.uuid4()
    await mongo.db["things"].insert_one({"_id": "t", "at": now, "ident": ident})
    assert await mongo.db["things"].find_one({"_id": "t"}) == {"_id": "t", "at": now, "ident": ident}


async def test_a_transaction_writes_all_or_nothing(mongo: Mongo, metrics: Metrics) -> None:
    async def work(session: Session) -> str:
        await mongo.db["things"].insert_one({"_id": "a"}, session=session)
        await mongo.db["others"].insert_one({"_id": "b"}, session=session)
        found = await mongo.aggregate("things", [{"$match": {"_id": "a"}}], session)
        return f"{len(found)} seen inside"

    assert await mongo.transaction(work) == "1 seen inside"
    assert await mongo.db["others"].find_one({"_id": "b"}) is not None
    assert counted(metrics, 'relaydesk_mongo_transactions_total{outcome="committed"} 1.0')


class Refused(Exception):
    pass


async def test_an_exception_of_the_work_aborts_and_comes_out_as_it_is(mongo: Mongo, metrics: Metrics) -> None:
    async def work(session: Session) -> None:
        await mongo.db["things"].insert_one({"_id": "a"}, session=session)
        raise Refused

    with pytest.raises(Refused):
        await mongo.transaction(work)
    assert await mongo.db["things"].find_one({"_id": "a"}) is None
    assert counted(metrics, 'relaydesk_mongo_transactions_total{outcome="aborted"} 1.0')


async def test_a_duplicate_key_comes_out_as_such_and_is_told_from_other_errors(mongo: Mongo) -> None:
    async def work(session: Session) -> None:
        await mongo.db["others"].insert_one({"_id": "first"}, session=session)
        await mongo.db["things"].insert_one({"_id": "counter"}, session=session)

    with pytest.raises(DuplicateKeyError) as single:
        await mongo.transaction(work)
    with pytest.raises(BulkWriteError) as many:
        await mongo.db["things"].bulk_write([InsertOne({"_id": "counter"}), InsertOne({"_id": "x"})], ordered=False)
    assert is_duplicate(single.value)
    assert is_duplicate(many.value)
    assert not is_duplicate(PyMongoError("other"))
    assert not is_away(single.value)
    assert await mongo.db["others"].find_one({"_id": "first"}) is None


async def test_transactions_that_conflict_are_run_again_until_all_have_counted(mongo: Mongo, metrics: Metrics) -> None:
    readers, all_have_read = 0, asyncio.Event()

    async def work(session: Session) -> None:
        nonlocal readers
        counter = await mongo.db["things"].find_one({"_id": "counter"}, session=session)
        assert counter is not None
        readers += 1
        if readers == 3:
            all_have_read.set()
        await all_have_read.wait()
        await mongo.db["things"].replace_one({"_id": "counter"}, {"n": counter["n"] + 1}, session=session)

    await asyncio.gather(*(mongo.transaction(work) for _ in range(3)))
    assert await mongo.db["things"].find_one({"_id": "counter"}) == {"_id": "counter", "n": 3}
    assert not counted(metrics, "relaydesk_mongo_transaction_retries_total 0.0")


async def test_a_conflict_that_does_not_end_becomes_transient(mongo: Mongo) -> None:
    tries = 0

    async def touch(session: Session) -> None:
        nonlocal tries
        tries += 1
        await mongo.db["things"].update_one({"_id": "counter"}, {"$inc": {"n": 1}}, session=session)

    async def hold_the_document(session: Session) -> None:
        await mongo.db["things"].update_one({"_id": "counter"}, {"$inc": {"n": 1}}, session=session)
        with pytest.raises(Transient):
            await mongo.transaction(touch)

    await mongo.transaction(hold_the_document)
    assert tries == 5


async def test_a_cancelled_transaction_leaves_nothing_and_holds_nothing(mongo: Mongo) -> None:
    written = asyncio.Event()

    async def work(session: Session) -> None:
        await mongo.db["things"].update_one({"_id": "counter"}, {"$set": {"n": 7}}, session=session)
        written.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(mongo.transaction(work))
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(40):  # it would stay open for a minute
        await mongo.db["things"].update_one({"_id": "counter"}, {"$inc": {"n": 1}})
    assert await mongo.db["things"].find_one({"_id": "counter"}) == {"_id": "counter", "n": 1}


HOLD_A_TRANSACTION = """
    import asyncio, sys
    from shared.runtime.metrics import Metrics
    from shared.runtime.mongo import Mongo

    async def main(url, database, driver):
        mongo = Mongo(url, database, driver, Metrics(), "replica-1")
        await mongo.start()

        async def work(session):
            await mongo.db["things"].update_one({"_id": "counter"}, {"$set": {"n": 7}}, session=session)
            print("written", flush=True)
            await asyncio.Event().wait()

        await mongo.transaction(work)

    asyncio.run(main(*sys.argv[1:]))
"""


async def test_what_a_killed_process_left_open_ends_when_its_next_process_starts(
    engines: Addresses, mongo_prefix: str, driver: Driver, mongo: Mongo
) -> None:
    database = f"{mongo_prefix}_test"
    program = [sys.executable, "-c", textwrap.dedent(HOLD_A_TRANSACTION), engines.mongo, database, driver]
    killed = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    assert killed.stdout and await asyncio.wait_for(killed.stdout.readline(), 60) == b"written\n"
    killed.kill()
    await killed.wait()

    async def add_one(session: Session) -> None:
        await mongo.db["things"].update_one({"_id": "counter"}, {"$inc": {"n": 1}}, session=session)

    with pytest.raises(Transient):  # it is locked, and another instance's start leaves it so
        await mongo.transaction(add_one)
    successor = Mongo(engines.mongo, database, driver, Metrics(), "replica-1")
    await successor.start()
    try:
        await mongo.transaction(add_one)
    finally:
        await successor.stop()
    assert await mongo.db["things"].find_one({"_id": "counter"}) == {"_id": "counter", "n": 1}


HANG_THE_SERVER = """
    import asyncio, os, signal, sys, time
    from pathlib import Path
    from shared.runtime.faults import Transient
    from shared.runtime.metrics import Metrics
    from shared.runtime.mongo import Mongo

    def stopped(server):  # a thread on another core goes on for a moment
        states = [task.read_text().rpartition(") ")[2][0] for task in Path(f"/proc/{server}/task").glob("*/stat")]
        return all(state == "T" for state in states)

    async def main(url, database, driver, server):
        options = "serverSelectionTimeoutMS=60000&connectTimeoutMS=60000&socketTimeoutMS=60000"
        patient = Mongo(f"{url}&{options}", database, driver, Metrics()).db["things"]
        await patient.insert_many([{"_id": "one", "n": 0}, {"_id": "other", "n": 0}])
        mongo = Mongo(f"{url}&socketTimeoutMS=700", database, driver, Metrics())
        things = mongo.db["things"]

        async def hang(session):
            await things.update_one({"_id": "one"}, {"$inc": {"n": 100}}, session=session)
            os.kill(int(server), signal.SIGSTOP)
            while not stopped(server):
                time.sleep(0.01)
            await things.update_one({"_id": "other"}, {"$inc": {"n": 100}}, session=session)

        async def add_one(session):
            await things.update_one({"_id": "one"}, {"$inc": {"n": 1}}, session=session)

        try:
            await mongo.transaction(hang)
        except Transient:
            print("away")
        os.kill(int(server), signal.SIGCONT)
        end = time.monotonic() + 40  # it would stay open for a minute
        while time.monotonic() < end:
            try:
                await mongo.transaction(add_one)
                break
            except Transient:
                await asyncio.sleep(0.1)
        print(await patient.find_one({"_id": "one"}))

    asyncio.run(main(*sys.argv[1:]))
"""


async def test_what_a_server_that_hung_kept_open_does_not_hold_up_the_next_transactions(
    own_engines: LocalEngines, mongo_prefix: str, driver: Driver
) -> None:
    """In a process of its own: PyMongo leaves the socket of a handshake that timed out to the garbage collector."""
    server, database = own_engines.mongo, f"{mongo_prefix}_hung"
    words = [own_engines.addresses.mongo, database, driver, str(server.pid)]
    program = [sys.executable, "-c", textwrap.dedent(HANG_THE_SERVER), *words]
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), 120)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert printed.decode().splitlines() == ["away", "{'_id': 'one', 'n': 1}"]


class Commits:
    """Stands in for a session whose commit fails some times in a given way."""

    def __init__(self, session: Session, errors: list[PyMongoError]) -> None:
        self._session = session
        self.errors = errors

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)

    async def commit_transaction(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        await self._session.commit_transaction()


def unknown_result() -> PyMongoError:
    return pymongo.errors.OperationFailure("?", 50, {"errorLabels": ["UnknownTransactionCommitResult"]})


async def test_an_unknown_commit_is_committed_again_and_reported_when_it_stays_unknown(
    mongo: Mongo, metrics: Metrics
) -> None:
    async def committing(session: Session, errors: list[PyMongoError]) -> None:
        await mongo._commit(Commits(session, errors))  # type: ignore[arg-type]

    async with mongo._session() as session:
        begun = session.start_transaction()
        if asyncio.iscoroutine(begun):
            await begun
        await mongo.db["things"].insert_one({"_id": "kept"}, session=session)
        await committing(session, [unknown_result(), unknown_result()])
        with pytest.raises(Transient, match="unknown"):
            await committing(session, [unknown_result() for _ in range(9)])
    assert await mongo.db["things"].find_one({"_id": "kept"}) is not None
    assert counted(metrics, 'relaydesk_mongo_transactions_total{outcome="unknown"} 1.0')


ASK_NOBODY = """
    import asyncio, sys
    from shared.runtime.engine_errors import is_away
    from shared.runtime.faults import Transient
    from shared.runtime.metrics import Metrics
    from shared.runtime.mongo import Mongo, PyMongoError

    async def main(url, driver):
        away = Mongo(url, "relaydesk_none", driver, Metrics())

        async def work(session):
            await away.db["things"].insert_one({"_id": 1}, session=session)

        for call in (away.start, lambda: away.transaction(work), lambda: away.db["things"].find_one({})):
            try:
                await call()
            except Transient:
                print("transient")
            except PyMongoError as error:
                print("away" if is_away(error) else repr(error))
        await away.stop()

    asyncio.run(main(*sys.argv[1:]))
"""


async def test_no_server_is_transient_everywhere(driver: Driver) -> None:
    """In a process of its own: PyMongo, closed while it connects, leaves that socket to the garbage collector."""
    program = [sys.executable, "-c", textwrap.dedent(ASK_NOBODY), NOWHERE, driver]
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    printed, _ = await asyncio.wait_for(process.communicate(), 120)
    assert printed.decode().split() == ["transient", "transient", "away"]


ASK_A_SILENT_SERVER = """
    import asyncio, sys
    from shared.runtime.metrics import Metrics
    from shared.runtime.mongo import Mongo

    async def silent(reader, writer):
        await reader.read()

    async def main(driver):
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        options = "directConnection=true&serverSelectionTimeoutMS=300&connectTimeoutMS=200"
        url = f"mongodb://127.0.0.1:{server.sockets[0].getsockname()[1]}/?{options}"
        await Mongo(url, "none", driver, Metrics()).ping()

    asyncio.run(main(sys.argv[1]))
"""


async def test_a_server_that_never_answers_is_transient_within_its_time(driver: Driver) -> None:
    """In a process of its own: PyMongo leaves the socket of a handshake that timed out to the garbage collector."""
    program = [sys.executable, "-c", textwrap.dedent(ASK_A_SILENT_SERVER), driver]
    process = await asyncio.create_subprocess_exec(*program, stderr=asyncio.subprocess.PIPE)
    _, errors = await asyncio.wait_for(process.communicate(), 120)
    assert b"shared.runtime.faults.Transient: ServerSelectionTimeoutError" in errors


async def test_writes_wait_for_a_majority_and_reads_see_only_such(mongo: Mongo) -> None:
    assert mongo.db.write_concern.document["w"] == "majority"
    assert mongo.db.read_concern.level == "majority"
