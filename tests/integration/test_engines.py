"""The local engines: usable at once, keep their data, and leave nothing behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import UnknownTopicOrPartitionError
from pymongo import MongoClient

from shared.engines import kafka as kafka_engine
from shared.engines.addresses import Addresses, given, split_s3_url
from shared.engines.kafka import Kafka
from shared.engines.local import CACHE, EnginePorts, LocalEngines
from shared.engines.mongo import Mongo
from shared.engines.ports import LOOPBACK, free_ports
from shared.engines.process import Child, EngineError
from shared.engines.s3 import BUCKET, S3, S3Keys
from shared.testing.eventually import eventually
from tests.integration.smoke import Document, commit_transaction, first_record, keep_object, keep_record, kept_object


async def test_kafka_gives_back_what_it_acknowledged(engines: Addresses, topic_prefix: str) -> None:
    await keep_record(engines.kafka, f"{topic_prefix}smoke", b"hello")
    assert await first_record(engines.kafka, f"{topic_prefix}smoke") == b"hello"


async def test_kafka_never_creates_a_topic_that_a_client_merely_names(engines: Addresses, topic_prefix: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=engines.kafka, metadata_max_age_ms=200)
    await producer.start()
    producer.client._request_timeout_ms = 1000  # for how long it asks for the topic
    try:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.send_and_wait(f"{topic_prefix}typo", b"lost?")
    finally:
        await producer.stop()


def test_mongo_commits_a_transaction_over_two_collections(engines: Addresses, mongo_prefix: str) -> None:
    assert commit_transaction(engines.mongo, f"{mongo_prefix}_smoke") == [1, 1]


def test_s3_has_the_bucket_and_keeps_an_object(engines: Addresses, workspace: str) -> None:
    keep_object(engines, f"{workspace}/a", b"123")
    assert kept_object(engines, f"{workspace}/a") == b"123"


def test_s3_refuses_who_has_no_key(engines: Addresses) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{engines.s3}/{BUCKET}", timeout=60)
    assert 400 <= refused.value.code < 500
    refused.value.close()


async def test_killed_engines_come_back_on_their_ports_with_their_data(own_engines: LocalEngines) -> None:
    addresses = own_engines.addresses
    await keep_record(addresses.kafka, "kept", b"hello")
    with MongoClient[Document](addresses.mongo, w="majority") as client:
        client["kept"]["kept"].insert_one({"_id": "hello"})
    keep_object(addresses, "kept", b"hello")

    for engine in own_engines:
        engine.kill()
        assert not engine.running
    for engine in own_engines:
        engine.start()
    for engine in own_engines:
        engine.wait_ready()

    assert own_engines.addresses == addresses
    assert await first_record(addresses.kafka, "kept") == b"hello"
    with MongoClient[Document](addresses.mongo) as client:
        assert client["kept"]["kept"].find_one() == {"_id": "hello"}
    assert kept_object(addresses, "kept") == b"hello"


def test_a_data_folder_may_move_to_other_ports(tmp_path: Path) -> None:
    for number in range(2):
        mongo = Mongo(tmp_path, tmp_path / "logs", free_ports(1)[0])
        mongo.start()
        try:
            mongo.wait_ready()
            with MongoClient[Document](mongo.url) as client:
                client["moved"]["runs"].insert_one({"_id": number})
                assert client["moved"]["runs"].count_documents({}) == number + 1
        finally:
            mongo.stop()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_is_named_and_what_had_started_is_stopped(tmp_path: Path, taken_port: int) -> None:
    controller, mongo, s3 = free_ports(3)
    local = LocalEngines(tmp_path, EnginePorts(taken_port, controller, mongo, s3), S3Keys("a", "b"))
    with pytest.raises(EngineError, match=rf"^kafka: port {taken_port} is already taken"):
        local.start()
    assert [engine.running for engine in local] == [False, False, False]


@pytest.mark.parametrize("program", ["java", "mvn"])
def test_a_missing_tool_is_one_line_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    for tool in {"java", "mvn"} - {program}:
        (tmp_path / tool).write_text("#!/bin/sh\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    port, controller = free_ports(2)
    kafka = Kafka(tmp_path, tmp_path, port, controller, cache=tmp_path / "empty")
    with pytest.raises(EngineError, match=rf"\(`{program}`\).*ENGINES=docker") as refused:
        kafka.start()
    assert "\n" not in str(refused.value)


def test_the_jars_are_fetched_once(monkeypatch: pytest.MonkeyPatch, engines: Addresses) -> None:
    folder = kafka_engine.install_jars(CACHE)
    assert len(list(folder.glob("*.jar"))) > 40
    monkeypatch.setenv("PATH", "")
    assert kafka_engine.install_jars(CACHE) == folder


def test_an_engine_that_ends_while_starting_shows_its_last_words(tmp_path: Path) -> None:
    s3 = S3(tmp_path, tmp_path / "logs", free_ports(1)[0], S3Keys('broken"quoting', ""))
    s3.start()
    with pytest.raises(EngineError, match=r"^s3 ended with status \d+ while starting; see .*s3\.log, which ends: "):
        s3.wait_ready()


HOLDER = """
import sys, time, pathlib
from shared.engines.process import Child
child = Child("sleeper", ["sleep", "600"], pathlib.Path(sys.argv[1]))
child.start()
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_child_dies_with_its_supervisor_even_by_sigkill(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "log"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        os.kill(child, 0)
        holder.kill()
    asyncio.run(eventually(lambda: gone(child), "the child is gone"))


def gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


async def test_stopping_a_child_takes_its_own_children_along(tmp_path: Path) -> None:
    child = Child("parent", ["sh", "-c", "sleep 600 & echo $!; wait"], tmp_path / "log")
    child.start()
    grandchild = await eventually(lambda: int(child.output() or 0), "the grandchild's pid")
    child.stop(grace=60)
    assert child.exit_code == -signal.SIGTERM
    await eventually(lambda: gone(grandchild), "the grandchild is gone")


async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    child = Child("deaf", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], tmp_path / "log")
    child.start()
    await eventually(lambda: "ready" in child.output(), "its trap is set")
    child.stop(grace=0.3)
    assert child.exit_code == -signal.SIGKILL


def test_given_addresses_carry_their_keys_in_the_url() -> None:
    environ = {"T_KAFKA": "k:1", "T_MONGO": "mongodb://m", "T_S3": "http://a:s%2F@h:2/"}
    assert given(environ, "T_", S3Keys("", "")) == Addresses("k:1", "mongodb://m", "http://h:2", S3Keys("a", "s/"))
    assert given({"T_KAFKA": "k:1"}, "T_", S3Keys("", "")) is None
    assert split_s3_url("http://h:2", S3Keys("x", "y")) == ("http://h:2", S3Keys("x", "y"))
