"""What docs/operations.md says of more partitions, rehearsed: all stands still, topics grow, all goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from pymongo import MongoClient

from shared.contracts.ids import document_key
from shared.contracts.topics import TOPICS, registry
from shared.engines.addresses import Addresses
from shared.runtime import topic_admin
from shared.runtime.health import Health
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.producer import partition_for
from shared.runtime.settings import KafkaSettings
from shared.testing.adapter import Adapter, Says
from shared.testing.api import Api, Channel, Patient, someone
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, assert_whole
from shared.testing.system import System, free_port_base, launch, stop, wait_ready

pytestmark = pytest.mark.timeout(900)
MORE = 24


@contextmanager
def running(folder: Path, port_base: int) -> Iterator[System]:
    """All services; the engines are the test run's, and go on."""
    system = launch(folder, "--split", port_base=port_base)
    try:
        wait_ready(system)
        yield system
    finally:
        stop(system)


@pytest.fixture
def installation(
    engines: Addresses, topic_prefix: str, mongo_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Addresses:
    """On engines that others use, too: topics and databases of its own."""
    given = engines.environment()
    given |= {"RELAYDESK_TOPIC_PREFIX": topic_prefix, "RELAYDESK_MONGO_PREFIX": mongo_prefix}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return engines


async def grow(kafka: str, prefix: str) -> None:
    """As `kafka-topics.sh --alter` does it; return when `relaydesk topics check` has nothing to say."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        sized = [name for name, topic in TOPICS.items() if topic.sized]
        await admin.create_partitions({prefix + name: NewPartitions(MORE) for name in sized})
    finally:
        await admin.close()
    settings = KafkaSettings(kafka=kafka, topic_prefix=prefix, topic_partitions=MORE)
    messaging = Messaging(settings, "test", "1", Metrics(), Health().fatal)

    async def is_right() -> bool:
        return not await topic_admin.check(messaging)

    await eventually(is_right, "topics are as the setting says")


def partitions_of(conversation: str, mongo: str, prefix: str) -> set[int]:
    """Where dispatch keeps the conversation's deliveries: with two replicas, who works on them."""
    with MongoClient[dict[str, Any]](mongo) as client:
        found = client[f"{prefix}_dispatch"]["deliveries"].find({"lane": {"$regex": f":{conversation}$"}})
        return {delivery["partition"] for delivery in found}


async def moving(agent: Api, channel: Channel, stream: Follower) -> tuple[str, str, str]:
    """A customer whose conversation changes its partition, the conversation, and its key."""
    while True:
        customer = someone()
        await channel.say(customer, "hello")
        conversation = await stream.conversation_of(customer)
        key = document_key((await agent.ok("GET", "/v1/me"))["workspace"], conversation)
        if partition_for(key, TOPICS["channel.outbound"].partitions) != partition_for(key, MORE):
            return customer, conversation, key


async def test_conversations_and_waiting_deliveries_go_on_in_their_new_partitions(
    tmp_path: Path, installation: Addresses, topic_prefix: str, mongo_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port_base = free_port_base()
    async with Adapter() as adapter:
        with running(tmp_path, port_base) as system:
            info = system.info
            async with (
                Patient(info["api"], info["tokens"]["owner"]) as owner,
                Follower(owner, info["stream"]) as stream,
            ):
                channel = Channel(owner, info["channel"]["id"], info["channel"]["secret"])
                await owner.ok("PATCH", f"/v1/channels/{channel.ident}", {"settings": {"outbound_url": adapter.url}})
                customer, conversation, key = await moving(owner, channel, stream)
                adapter.behaviour = lambda seen: Says(503)
                assert (await owner.reply(conversation, "waits")).status == 201
                await eventually(lambda: adapter.texts(conversation), "an attempt")
                cursor = stream.cursor
        await grow(installation.kafka, topic_prefix)
        adapter.behaviour = lambda seen: Says()
        before = len(adapter.seen)
        monkeypatch.setenv("RELAYDESK_TOPIC_PARTITIONS", str(MORE))
        with running(tmp_path, port_base) as system:
            info = system.info
            async with Patient(info["api"], info["tokens"]["owner"]) as owner:
                channel = Channel(owner, info["channel"]["id"], info["channel"]["secret"])
                async with Follower(owner, info["stream"], cursor) as stream:
                    await channel.say(customer, "still there?")
                    assert (await owner.reply(conversation, "goes on")).status == 201
                    await eventually(lambda: "goes on" in adapter.texts(conversation), "delivered", timeout=90)
                    attempts = [seen.text for seen in adapter.seen if seen.conversation == conversation]
                    assert attempts[before:] == ["waits", "goes on"]
                    assert partitions_of(conversation, installation.mongo, mongo_prefix) == {partition_for(key, MORE)}
                    thread = await owner.thread(conversation)
                    assert [event["seq"] for event in thread] == list(range(1, len(thread) + 1))
                    assert_whole(stream.events)


def test_the_number_concerns_the_topics_that_are_ordered_by_conversation_contact_or_workspace() -> None:
    changed = {name for name, topic in registry(MORE).items() if topic.partitions == MORE}
    assert changed == {
        "channel.inbound",
        "conversation.commands",
        "workspace.events",
        "channel.outbound",
        "bot.requests",
        "contacts",
        "workspace.ephemeral",
    }
