"""The registry's topics as a broker has them, and what is wrong with them, in sentences. Knows no client."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.contracts.topics import ROUTING_INPUTS, Topic

Registry = Mapping[str, Topic]
Settings = Mapping[str, str]

MISSING = "missing, or this user may not see it: run `relaydesk topics apply`, or grant `relaydesk topics rights`"


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic as the broker has it: the settings in effect, and those of them that were set on the topic itself."""

    partitions: int
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


def unequal_inputs(found: Found) -> list[str]:
    """Partition p of both routing inputs has one owner only if there are as many of each (DESIGN 3.1)."""
    counts = {name: found[name].partitions for name in ROUTING_INPUTS if name in found}
    return [] if len(set(counts.values())) <= 1 else [f"the routing inputs differ in partitions: {counts}"]
