"""The registry's topics as a broker has them, and what is wrong with them, in sentences. Knows no client."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from shared.contracts.topics import ROUTING_INPUTS, Topic

Registry = Mapping[str, Topic]
Settings = Mapping[str, str]

REPLICAS = 3
"""Copies of each partition where there are as many brokers; then a write needs two of them."""

MISSING = "missing, or this user may not see it: run `relaydesk topics apply`, or grant `relaydesk topics rights`"


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic as the broker has it.

    `copies` has the partition with the fewest; any of them is on one of `brokers`. `settings` are those in effect, and
    `own` those of them that were set on the topic itself.
    """

    partitions: int
    copies: int = 1
    brokers: Set[int] = frozenset()
    settings: Settings = field(default_factory=dict)
    own: Settings = field(default_factory=dict)


Found = Mapping[str, FoundTopic]
"""By registry name; what the broker lacks is not in it."""


def missing_topics(found: Found, registry: Registry) -> list[str]:
    return [f"topic {name} is {MISSING}" for name in registry if name not in found]


def wrong_partitions(found: Found, registry: Registry) -> list[str]:
    return [
        f"topic {name} has {topic.partitions} partitions, declared are {registry[name].partitions} "
        "(RELAYDESK_TOPIC_PARTITIONS): changing them is stop-the-world, drain every service first"
        for name, topic in found.items()
        if topic.partitions != registry[name].partitions
    ]


def too_few_copies(found: Found, answered: Set[int]) -> list[str]:
    """What topics that were made while there were fewer brokers keep until a person moves them."""
    brokers = len(_known(found, answered))
    wanted = min(REPLICAS, brokers)
    return [
        f"topic {name} has too few copies of a partition, {topic.copies} instead of {wanted} (brokers: {brokers}): "
        "make more with kafka-reassign-partitions.sh (docs/operations.md, More copies)"
        for name, topic in found.items()
        if topic.copies < wanted
    ]


def made_by_few(found: Found, answered: Set[int]) -> list[str]:
    """To say when topics are made. One broker that is alone is a choice."""
    if len(answered) >= REPLICAS or len(_known(found, answered)) == 1:
        return []
    copies = len(answered)
    return [
        f"brokers that answered: {copies}, so what was created has {copies} instead of {REPLICAS} copies of each "
        "partition; once there are more brokers, `relaydesk topics check` says what to do"
    ]


def _known(found: Found, answered: Set[int]) -> Set[int]:
    """One that is away is known by the copies that it has."""
    return set(answered).union(*(topic.brokers for topic in found.values()))


def unequal_inputs(found: Found) -> list[str]:
    """Partition p of both routing inputs has one owner only if there are as many of each (DESIGN 3.1)."""
    counts = {name: found[name].partitions for name in ROUTING_INPUTS if name in found}
    return [] if len(set(counts.values())) <= 1 else [f"the routing inputs differ in partitions: {counts}"]
