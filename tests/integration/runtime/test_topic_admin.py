"""Topics are made and mended by `apply` alone, and a topic's new life is seen as such."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.contracts.topics import MAX_RECORD_BYTES, TOPICS, dead_letter_name
from shared.runtime import topic_admin
from shared.runtime.faults import Fatal, Transient
from shared.runtime.found_topics import MISSING
from shared.runtime.producer import LETTER_ROOM_BYTES
from shared.runtime.records import Outgoing
from shared.testing.eventually import eventually
from tests.integration.runtime.conftest import Running
from tests.integration.runtime.worlds import (
    COMMANDS,
    CONTACTS,
    INBOUND,
    META,
    QUICK,
    REGISTRY,
    BrokerWorld,
    Recorder,
    numbered,
)

DECLARED = ("cleanup.policy", "retention.ms", "max.message.bytes")
OTHER_SETTINGS = f"topic {INBOUND} has other settings: run `relaydesk topics apply`"


async def delete(world: BrokerWorld, topic: str) -> None:
    admin = world.messaging.admin_client()
    await admin.start()
    try:
        await admin.delete_topics([world.messaging.on_broker(topic)])
    finally:
        await admin.close()

    async def gone() -> bool:
        try:
            faults = await topic_admin.check(world.messaging, REGISTRY)
        except Transient:  # it went between two questions
            return False
        return any(f"{topic} is missing" in fault for fault in faults)

    await eventually(gone, f"{topic} is gone")


async def test_apply_makes_everything_once_and_then_nothing(bare: BrokerWorld) -> None:
    first = await topic_admin.apply(bare.messaging)
    second = await topic_admin.apply(bare.messaging)

    assert set(first.created) == set(TOPICS) == set(first.incarnated)
    assert second == topic_admin.Applied()
    assert await topic_admin.check(bare.messaging) == []


async def test_check_names_what_is_missing(bare: BrokerWorld) -> None:
    only = {META: REGISTRY[META], INBOUND: REGISTRY[INBOUND]}
    await topic_admin.apply(bare.messaging, only)

    faults = await topic_admin.check(bare.messaging, {**only, COMMANDS: REGISTRY[COMMANDS]})

    assert faults == [f"topic {COMMANDS} is {MISSING}"]


async def test_a_service_does_not_start_without_its_topics(bare: BrokerWorld) -> None:
    await topic_admin.apply(bare.messaging, {META: REGISTRY[META], INBOUND: REGISTRY[INBOUND]})

    await topic_admin.TopicGate(bare.messaging, [INBOUND]).start()
    with pytest.raises(Fatal, match=COMMANDS):
        await topic_admin.TopicGate(bare.messaging, [INBOUND, COMMANDS]).start()


async def test_a_service_does_not_start_when_the_routing_inputs_differ_in_partitions(bare: BrokerWorld) -> None:
    odd = {**REGISTRY, COMMANDS: replace(REGISTRY[COMMANDS], partitions=3)}
    await topic_admin.apply(bare.messaging, odd)

    with pytest.raises(Fatal, match="differ in partitions"):
        await topic_admin.TopicGate(bare.messaging, [INBOUND, COMMANDS]).start()
    faults = await topic_admin.check(bare.messaging, REGISTRY)
    said = "has 3 partitions, declared are 2 (RELAYDESK_TOPIC_PARTITIONS): changing them is"
    assert any(said in fault for fault in faults)
    [left] = (await topic_admin.apply(bare.messaging, REGISTRY)).left
    assert said in left


async def test_settings_are_as_declared_and_mended_when_somebody_changed_them(kafka: BrokerWorld) -> None:
    assert await settings(kafka, INBOUND) == {
        "cleanup.policy": "delete",
        "retention.ms": str(7 * 24 * 3600 * 1000),
        "max.message.bytes": str(MAX_RECORD_BYTES),
    }
    assert (await settings(kafka, CONTACTS))["cleanup.policy"] == "compact"
    letters = await settings(kafka, dead_letter_name(INBOUND))
    assert letters["max.message.bytes"] == str(MAX_RECORD_BYTES + LETTER_ROOM_BYTES)

    await set_by_hand(kafka, INBOUND, {"retention.ms": "1000"})

    await eventually(lambda: faults_are(kafka, [OTHER_SETTINGS]), "check says so")
    assert (await topic_admin.apply(kafka.messaging, REGISTRY)).configured == (INBOUND,)
    await eventually(lambda: faults_are(kafka, []), "mended")


async def test_an_operators_own_settings_stay_when_a_declared_one_is_mended(kafka: BrokerWorld) -> None:
    own = {"retention.bytes": "1000000000", "compression.type": "zstd"}
    await set_by_hand(kafka, INBOUND, {**own, "retention.ms": "1000"})
    await eventually(lambda: faults_are(kafka, [OTHER_SETTINGS]), "one of them is other than declared")

    await topic_admin.apply(kafka.messaging, REGISTRY)

    await eventually(lambda: faults_are(kafka, []), "mended")
    assert await settings(kafka, INBOUND, own) == own


async def test_a_longer_retention_is_named_and_stays_until_it_is_to_be_shortened(kafka: BrokerWorld) -> None:
    longer = {"retention.ms": str(14 * 24 * 3600 * 1000)}
    await set_by_hand(kafka, INBOUND, {**longer, "max.message.bytes": "1000"})
    sentence = (
        f"topic {INBOUND} has retention.ms 1209600000, declared is 604800000: it stays until "
        "`relaydesk topics apply --shorten`"
    )
    await eventually(lambda: faults_are(kafka, [OTHER_SETTINGS, sentence]), "check names both")

    upgraded = await topic_admin.apply(kafka.messaging, REGISTRY)
    await eventually(lambda: faults_are(kafka, [sentence]), "check still names it")
    assert await settings(kafka, INBOUND, longer) == longer
    assert (upgraded.configured, upgraded.left) == ((INBOUND,), (sentence,))
    assert await topic_admin.apply(kafka.messaging, REGISTRY) == topic_admin.Applied(left=(sentence,))

    shortened = await topic_admin.apply(kafka.messaging, REGISTRY, shorten=True)
    await eventually(lambda: faults_are(kafka, []), "it is as declared")
    assert shortened == topic_admin.Applied(configured=(INBOUND,))


async def test_tombstones_that_are_kept_longer_stay_and_a_later_compaction_does_not(kafka: BrokerWorld) -> None:
    longer = {"delete.retention.ms": "2000000000", "max.compaction.lag.ms": "1000000000"}
    await set_by_hand(kafka, CONTACTS, {"cleanup.policy": "compact", **longer})

    async def applied() -> bool:
        return CONTACTS in (await topic_admin.apply(kafka.messaging, REGISTRY)).configured

    async def settings_are(expected: dict[str, str]) -> bool:
        return await settings(kafka, CONTACTS, expected) == expected

    await eventually(applied, "the broker has heard of both, and one is mended")
    await eventually(lambda: settings_are({**longer, "max.compaction.lag.ms": "604800000"}), "the other one stays")


async def test_a_topic_that_somebody_made_by_hand_gets_an_incarnation(bare: BrokerWorld) -> None:
    admin = bare.messaging.admin_client()
    await admin.start()
    await admin.create_topics([NewTopic(bare.messaging.on_broker(INBOUND), 2, 1)])
    await admin.close()

    async def is_there() -> bool:
        """A broker hears of a new topic a moment later."""
        missing = f"topic {INBOUND} is {MISSING}"
        return missing not in await topic_admin.check(bare.messaging, {INBOUND: REGISTRY[INBOUND]})

    await eventually(is_there, "the topic")

    applied = await topic_admin.apply(bare.messaging, {META: REGISTRY[META], INBOUND: REGISTRY[INBOUND]})

    assert INBOUND not in applied.created
    assert INBOUND in applied.incarnated


async def test_a_topic_made_anew_has_another_incarnation_and_ends_the_processes_that_knew_the_old_one(
    kafka: BrokerWorld, running: Running
) -> None:
    before = await running.start(kafka.messaging.incarnations())
    old, other = before.of(INBOUND), before.of(COMMANDS)
    await delete(kafka, INBOUND)
    await topic_admin.apply(kafka.messaging, REGISTRY)

    await eventually(lambda: kafka.fatals, "the process is told to end")
    assert INBOUND in str(kafka.fatals[0])
    after = await running.start(kafka.messaging.incarnations())
    assert after.of(INBOUND) not in ("", old)
    assert after.of(COMMANDS) == other
    with pytest.raises(Fatal, match="no incarnation"):
        after.of("nonsense")


async def test_a_group_reads_a_topic_made_anew_from_its_beginning(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(20))
    handler = Recorder()
    consumer = kafka.messaging.group("routing", [INBOUND], handler, producer, QUICK)
    await consumer.start()
    await eventually(lambda: len(handler.handled) == 20, "the old ones")
    await consumer.stop()

    await delete(kafka, INBOUND)
    await topic_admin.apply(kafka.messaging, REGISTRY)
    fresh = await running.start(kafka.messaging.producer())
    await fresh.publish([Outgoing(INBOUND, "w:c", b"new")])
    await running.start(kafka.messaging.group("routing", [INBOUND], handler, producer, QUICK))

    await eventually(lambda: handler.values[20:] == [b"new"], "the new one, though the group had been further")
    assert not kafka.fatals


async def set_by_hand(world: BrokerWorld, topic: str, values: dict[str, str]) -> None:
    admin = world.messaging.admin_client()
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, world.messaging.on_broker(topic), values)])
    finally:
        await admin.close()


async def faults_are(world: BrokerWorld, expected: list[str]) -> bool:
    """A broker hears of new settings a moment later."""
    return await topic_admin.check(world.messaging, REGISTRY) == expected


async def settings(world: BrokerWorld, topic: str, names: Iterable[str] = DECLARED) -> dict[str, str]:
    admin = world.messaging.admin_client()
    await admin.start()
    wanted = dict.fromkeys(names, "")
    try:
        asked = ConfigResource(ConfigResourceType.TOPIC, world.messaging.on_broker(topic), wanted)
        [response] = await admin.describe_configs([asked])
    finally:
        await admin.close()
    [resource] = response.to_object()["resources"]
    return {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}
