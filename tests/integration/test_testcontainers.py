"""The same engines as containers (`ENGINES=docker`): a lane of its own, skipped where no Docker answers."""

import shutil
from collections.abc import Iterator

import pytest
from testcontainers.compose import DockerCompose

from shared.engines.addresses import Addresses
from shared.engines.docker import FILE, DockerEngines
from shared.engines.local import EnginePorts
from shared.engines.process import run_tool
from shared.engines.s3 import S3Keys
from tests.integration.smoke import commit_transaction, first_record, keep_object, keep_record, kept_object

pytestmark = pytest.mark.timeout(600)


def missing() -> str | None:
    """Why this machine cannot run containers; None when it can."""
    if shutil.which("docker") is None:
        return "there is no `docker`"
    if (asked := run_tool(["docker", "version"])).returncode != 0:
        return f"no Docker answers: {asked.stderr.strip()[:120]}"
    if run_tool(["docker", "compose", "version"]).returncode != 0:
        return "docker has no compose plugin"
    return None


@pytest.fixture(scope="module")
def containers() -> Iterator[Addresses]:
    if reason := missing():
        pytest.skip(reason)
    engines = DockerEngines("relaydesk-test", EnginePorts.free(), S3Keys("relaydesk", "relaydesk-test-secret"))
    with pytest.MonkeyPatch.context() as environment:
        for name, value in engines.variables().items():
            environment.setenv(name, value)
        with DockerCompose(FILE.parent, FILE.name):
            yield engines.addresses


async def test_kafka_in_a_container_gives_back_what_it_acknowledged(containers: Addresses) -> None:
    await keep_record(containers.kafka, "smoke", b"hello")
    assert await first_record(containers.kafka, "smoke") == b"hello"


def test_mongo_in_a_container_commits_a_transaction(containers: Addresses) -> None:
    assert commit_transaction(containers.mongo, "smoke") == [1, 1]


def test_s3_in_a_container_has_the_bucket_and_keeps_an_object(containers: Addresses) -> None:
    keep_object(containers, "smoke", b"hello")
    assert kept_object(containers, "smoke") == b"hello"
