"""Topics as the registry declares them: made by `relaydesk topics apply`, never by a client; checked at each start."""

import asyncio
import uuid
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from shared.contracts.topics import MAX_RECORD_BYTES, META, Topic, dead_letter_name
from shared.runtime.faults import Fatal, Transient
from shared.runtime.found_topics import (
    REPLICAS,
    Found,
    FoundTopic,
    Registry,
    Settings,
    made_by_few,
    missing_topics,
    too_few_copies,
    unequal_inputs,
    wrong_partitions,
)
from shared.runtime.incarnations import encode_incarnation
from shared.runtime.producer import LETTER_ROOM_BYTES
from shared.runtime.records import Outgoing
from shared.runtime.table import Table
from shared.runtime.topic_changes import change, longer_retention

if TYPE_CHECKING:
    from shared.runtime.messaging import Messaging

OF_TOPIC = 1
"""Where a setting comes from, as Kafka says it: DYNAMIC_TOPIC_CONFIG of DescribeConfigs, set on the topic itself."""

LEADERS_S = 15.0
SHORT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did, by registry name, and in sentences what it `left` to a person; empty where nothing differs."""

    created: tuple[str, ...] = ()
    configured: tuple[str, ...] = ()
    incarnated: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


async def apply(messaging: "Messaging", registry: Registry | None = None, shorten: bool = False) -> Applied:
    """Make what is missing, set what differs. May be repeated, also at the same time. All topics, if none are named.

    Left as they are: settings that are not declared, numbers of partitions and of copies, and without `shorten` a
    retention that is longer than declared.
    Raises Transient when Kafka does not answer, Fatal when it refuses.
    """
    registry = registry or messaging.registry
    async with _Admin(messaging) as admin:
        found = await admin.find(registry)
        missing = [name for name in registry if name not in found]
        await admin.create([registry[name] for name in missing if name == META])
        # An incarnation is written before its topic exists: no record of the new life can be read under the old id.
        incarnated = await _incarnate(messaging, registry, missing)
        await admin.create([registry[name] for name in missing if name != META])
        declared = _declared(found, registry)
        changes = _changes(found, declared, shorten)
        await admin.configure(changes)
    left = wrong_partitions(found, registry) + too_few_copies(found, admin.brokers)
    left += [] if shorten else longer_retention(found, declared)
    left += made_by_few(found, admin.brokers) if missing else []
    return Applied(tuple(missing), tuple(changes), tuple(incarnated), tuple(left))


async def check(messaging: "Messaging", registry: Registry | None = None) -> list[str]:
    """What differs from the registry, a sentence each. Raises Transient when Kafka does not answer."""
    registry = registry or messaging.registry
    async with _Admin(messaging) as admin:
        found = await admin.find(registry)
    faults = missing_topics(found, registry) + wrong_partitions(found, registry) + unequal_inputs(found)
    faults += too_few_copies(found, admin.brokers)
    declared = _declared(found, registry)
    changes = _changes(found, declared, shorten=False)
    faults += [f"topic {name} has other settings: run `relaydesk topics apply`" for name in changes]
    faults += longer_retention(found, declared)
    if META in found:
        known = await _incarnations(messaging)
        faults += [
            f"topic {name} has no incarnation: run `relaydesk topics apply`" for name in found if name not in known
        ]
    return faults


class TopicGate:
    """A component, the first of a service: it does not start without its topics."""

    def __init__(self, messaging: "Messaging", topics: Iterable[str]) -> None:
        self._messaging = messaging
        self._registry = {name: messaging.registry[name] for name in topics}

    async def start(self) -> None:
        """Raises Transient while Kafka is away, Fatal when a topic is missing or the routing inputs do not fit."""
        async with _Admin(self._messaging) as admin:
            found = await admin.find(self._registry, with_settings=False)
        if faults := missing_topics(found, self._registry) + unequal_inputs(found):
            raise Fatal("; ".join(faults))

    async def stop(self) -> None:
        """Nothing is open."""


def settings_of(topic: Topic, replicas: int) -> dict[str, str]:
    """The broker's settings of a topic that has so many copies."""
    retention_ms = -1 if topic.retention is None else int(topic.retention.total_seconds() * 1000)
    room = LETTER_ROOM_BYTES if _is_dead_letter(topic) else 0
    settings = {
        "cleanup.policy": topic.cleanup,
        "retention.ms": str(retention_ms),
        "max.message.bytes": str(MAX_RECORD_BYTES + room),
        "min.insync.replicas": str(min(2, replicas)),
    }
    if topic.retention is not None and topic.retention < SHORT:
        settings["segment.ms"] = str(retention_ms)  # only closed segments are deleted
    return settings | dict(topic.config)


def _is_dead_letter(topic: Topic) -> bool:
    return topic.name.endswith(dead_letter_name(""))


class _Admin:
    """An admin client for one command; `brokers` are those that answered. Its errors are Transient or Fatal."""

    def __init__(self, messaging: "Messaging") -> None:
        self._messaging = messaging
        self._client: AIOKafkaAdminClient = messaging.admin_client()
        self.brokers: frozenset[int] = frozenset()

    async def __aenter__(self) -> "_Admin":
        try:
            await self._client.start()
            cluster = await self._client.describe_cluster()
        except (KafkaError, TimeoutError) as error:
            await self._client.close()
            raise Transient(f"Kafka does not answer: {error}") from error
        self.brokers = frozenset(broker["node_id"] for broker in cluster["brokers"])
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        await self._client.close()
        if isinstance(error, KafkaError | TimeoutError):
            raise Transient(f"Kafka does not answer: {error!r}") from error

    async def find(self, registry: Registry, with_settings: bool = True) -> Found:
        # all topics: a request that names one lets a broker with auto-creation make it
        described = {topic["topic"]: topic["partitions"] for topic in await self._client.describe_topics()}
        names = {self._messaging.on_broker(name): name for name in registry}
        found = {name: described[on_broker] for on_broker, name in names.items() if on_broker in described}
        entries = await self._entries(found) if with_settings and found else {}
        return {name: _found(partitions, entries.get(name, ())) for name, partitions in found.items()}

    async def _entries(self, names: Iterable[str]) -> dict[str, list[Mapping[str, Any]]]:
        asked = {self._messaging.on_broker(name): name for name in names}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in asked]
        rows = _rows(await self._client.describe_configs(resources), "asked for its settings")
        return {asked[row["resource_name"]]: row["config_entries"] for row in rows}

    async def create(self, topics: Sequence[Topic]) -> None:
        if not topics:
            return
        copies = min(REPLICAS, len(self.brokers))
        new = [
            NewTopic(self._messaging.on_broker(t.name), t.partitions, copies, topic_configs=settings_of(t, copies))
            for t in topics
        ]
        response = await self._client.create_topics(new)
        for topic, code, message in (row[:3] for row in response.topic_errors):
            if for_code(code) is not TopicAlreadyExistsError:
                _require(code, f"topic {topic} could not be created", message)
        await self._led({self._messaging.on_broker(topic.name) for topic in topics})

    async def _led(self, names: Set[str]) -> None:
        """Brokers hear of a new topic a little after its creator does: until all its partitions have a leader."""
        async with asyncio.timeout(LEADERS_S):
            while True:
                described = await self._client.describe_topics()
                if names <= {topic["topic"] for topic in described if _has_leaders(topic)}:
                    return
                await asyncio.sleep(0.02)

    async def configure(self, changes: Mapping[str, Settings]) -> None:
        """`changes` by topic, each with all settings that the topic is to have of its own."""
        if not changes:
            return
        resources = [
            ConfigResource(ConfigResourceType.TOPIC, self._messaging.on_broker(name), dict(settings))
            for name, settings in changes.items()
        ]
        _rows(await self._client.alter_configs(resources), "configured")


def _rows(responses: Iterable[Any], asked: str) -> list[Mapping[str, Any]]:
    """The rows of answers on topics' settings. Raises as `_require` does for the first that is refused."""
    rows = [row for response in responses for row in response.to_object()["resources"]]
    for row in rows:
        _require(row["error_code"], f"topic {row['resource_name']} could not be {asked}", row["error_message"])
    return rows


def _require(code: int, what: str, message: str | None) -> None:
    """Raises Fatal, or the error of Kafka's where that passes by itself."""
    error = for_code(code)
    if error is NoError:
        return
    said = f"{what}: {error.__name__} {message or ''}".strip()
    raise error(said) if error.retriable else Fatal(said)


def _has_leaders(topic: Mapping[str, Any]) -> bool:
    return not topic["error_code"] and all(partition["leader"] >= 0 for partition in topic["partitions"])


def _found(partitions: Sequence[Mapping[str, Any]], entries: Iterable[Mapping[str, Any]]) -> FoundTopic:
    replicas = [partition["replicas"] for partition in partitions]
    brokers = frozenset(broker for of_one in replicas for broker in of_one)
    values = {entry["config_names"]: entry["config_value"] for entry in entries}
    own = {entry["config_names"] for entry in entries if entry["config_source"] == OF_TOPIC}
    copies = min((len(of_one) for of_one in replicas), default=1)
    return FoundTopic(len(partitions), copies, brokers, values, {name: values[name] for name in own})


def _declared(found: Found, registry: Registry) -> dict[str, Settings]:
    """By name. What a topic is to have depends on its own copies: no more of them can be asked of a write."""
    return {name: settings_of(registry[name], topic.copies) for name, topic in found.items()}


def _changes(found: Found, declared: Mapping[str, Settings], shorten: bool) -> dict[str, Settings]:
    """By name, of those topics alone that need one."""
    wanted = {name: change(topic, declared[name], shorten) for name, topic in found.items()}
    return {name: settings for name, settings in wanted.items() if settings}


async def _incarnations(messaging: "Messaging") -> set[str]:
    table = Table(messaging, META)
    await table.start()
    await table.stop()
    return set(table)


async def _incarnate(messaging: "Messaging", registry: Registry, missing: Sequence[str]) -> list[str]:
    """Random ids for topics that are about to be made, and for those that never got one."""
    if META not in registry:
        return []
    known = await _incarnations(messaging)
    wanted = [name for name in registry if name in missing or name not in known]
    producer = messaging.producer()
    await producer.start()
    try:
        await producer.publish([Outgoing(META, name, encode_incarnation(uuid.uuid4().hex)) for name in wanted])
    finally:
        await producer.stop()
    return wanted
