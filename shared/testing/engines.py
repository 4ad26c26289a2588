"""Fixtures of real engines: the same Kafka, mongod and S3 as `relaydesk run`, started once per test run on free ports.

RELAYDESK_TEST_KAFKA, _MONGO and _S3 (with its keys: `http://access:secret@host:port`) name others to use instead, the
last one also by itself. Tests keep apart by workspace, topic prefix and database prefix, not by restarts.
"""

import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient
from pymongo import MongoClient

from shared.engines.addresses import Addresses, given, split_s3_url
from shared.engines.local import EnginePorts, LocalEngines
from shared.engines.s3 import S3Keys

KEYS = S3Keys("relaydesk", "relaydesk-test-secret")
PATIENCE = "serverSelectionTimeoutMS=60000&connectTimeoutMS=60000&socketTimeoutMS=60000"
"""Of MongoDB's clients where it is not to be hurt: it may be held up for as long as a busy machine likes."""


@pytest.fixture(scope="session")
def engines() -> Iterator[Addresses]:
    """Where the engines of this test run are. Not to be hurt: see `own_engines`."""
    named = given(os.environ, "RELAYDESK_TEST_", KEYS)
    if named is not None:
        yield _patient(named)
        return
    other_s3 = os.environ.get("RELAYDESK_TEST_S3")
    with _fresh_engines() as local:
        found = local.addresses
        if other_s3:
            url, keys = split_s3_url(other_s3, KEYS)
            found = replace(found, s3=url, s3_keys=keys)
        yield _patient(found)


def _patient(found: Addresses) -> Addresses:
    return replace(found, mongo=f"{found.mongo}{'&' if '?' in found.mongo else '?'}{PATIENCE}")


@pytest.fixture(scope="session")
def _engines_to_hurt() -> Iterator[LocalEngines]:
    with _fresh_engines() as local:
        yield local


@pytest.fixture
def own_engines(_engines_to_hurt: LocalEngines) -> Iterator[LocalEngines]:
    """Engines for fault tests: `own_engines.kafka.kill()`, `.stop()`, `.start()`, `.wait_ready()`; ports stay.

    What a test leaves stopped is started again after it.
    """
    yield _engines_to_hurt
    for engine in _engines_to_hurt:
        if not engine.running:
            engine.start()
            engine.wait_ready()


@contextmanager
def _fresh_engines() -> Iterator[LocalEngines]:
    with tempfile.TemporaryDirectory(prefix="relaydesk-engines-", ignore_cleanup_errors=True) as folder:
        local = LocalEngines(Path(folder), EnginePorts.free(), KEYS)
        local.start()
        try:
            yield local
        finally:
            local.stop()


@pytest.fixture
def workspace() -> str:
    """A workspace that no other test knows."""
    return f"w-{uuid.uuid4().hex[:12]}"


@pytest_asyncio.fixture
async def topic_prefix(engines: Addresses) -> AsyncIterator[str]:
    """A prefix for the names of this test's topics, which are deleted after it."""
    prefix = f"t{uuid.uuid4().hex[:10]}."
    yield prefix
    await drop_topics(engines.kafka, prefix)


@pytest.fixture
def mongo_prefix(engines: Addresses) -> Iterator[str]:
    """A prefix for the names of this test's databases, which are dropped after it."""
    prefix = f"t{uuid.uuid4().hex[:10]}"
    yield prefix
    with MongoClient[dict[str, object]](engines.mongo) as client:
        for name in client.list_database_names():
            if name.startswith(prefix):
                client.drop_database(name)


async def drop_topics(kafka: str, prefix: str) -> None:
    """Delete all topics whose names start so."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(prefix)]
        if names:
            await admin.delete_topics(names)
    finally:
        await admin.close()
