"""The registry's topics as a broker has them, and what is wrong with them, in sentences. Knows no client."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.contracts.topics import ROUTING_INPUTS, Topic

Registry = Mapping[str, Topic]

MISSING = "missing, or this user may not see it: run `relaydesk topics apply`, or grant `relaydesk topics rights`"


@dataclass(frozen=True, slots=True)
class Found:
    """The topics of the registry as the broker has them: partition counts and the declared settings' values."""

    partitions: Mapping[str, int]
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def missing_topics(found: Found, registry: Registry) -> list[str]:
    return [f"topic {name} is {MISSING}" for name in registry if name not in found.partitions]


def wrong_partitions(found: Found, registry: Registry) -> list[str]:
    return [
        f"topic {name} has {count} partitions, declared are {registry[name].partitions} (RELAYDESK_TOPIC_PARTITIONS): "
        "changing them is stop-the-world, drain every service first"
        for name, count in found.partitions.items()
        if count != registry[name].partitions
    ]


def unequal_inputs(found: Found) -> list[str]:
    """Partition p of both routing inputs has one owner only if there are as many of each (DESIGN 3.1)."""
    counts = {name: found.partitions[name] for name in ROUTING_INPUTS if name in found.partitions}
    return [] if len(set(counts.values())) <= 1 else [f"the routing inputs differ in partitions: {counts}"]
