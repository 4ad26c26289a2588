"""What each program may do on Kafka, and nothing more: the topic registry, read as access control lists.

`relaydesk topics rights` prints them; the names are Kafka's own.
"""

from dataclasses import dataclass
from typing import Literal

from shared.contracts.topics import META, TOPICS

Resource = Literal["topic", "group", "cluster"]
Pattern = Literal["literal", "prefix"]
Operation = Literal["Read", "Write", "Describe", "Create", "DescribeConfigs", "AlterConfigs"]

SERVICES = ("ingest", "routing", "gateway", "dispatch", "snippets", "media")
COMMAND = "relaydesk"
"""Who runs `relaydesk topics`, `dlq`, `projection`, `doctor`."""

PRINCIPALS = (*SERVICES, COMMAND)
CLUSTER = "kafka-cluster"


@dataclass(frozen=True, slots=True)
class Grant:
    """`name` without the installation's topic prefix; of pattern `prefix`, all names that begin so."""

    resource: Resource
    name: str
    pattern: Pattern
    operations: tuple[Operation, ...]


def grants(principal: str) -> tuple[Grant, ...]:
    """All grants of a service or of `COMMAND`; KeyError for anybody else. Read and Write include Describe."""
    if principal == COMMAND:
        return _of_command()
    if principal not in SERVICES:
        raise KeyError(principal)
    topics = [Grant("topic", name, "literal", operations) for name in TOPICS if (operations := _on(name, principal))]
    return *topics, Grant("group", principal, "prefix", ("Read",))


def _on(topic: str, service: str) -> tuple[Operation, ...]:
    declared = TOPICS[topic]
    read: tuple[Operation, ...] = ("Read",) if service in declared.consumers or topic == META else ()
    return (*read, "Write") if service in declared.producers else read


def _of_command() -> tuple[Grant, ...]:
    every: tuple[Operation, ...] = ("Read", "Write", "Create", "Describe", "DescribeConfigs", "AlterConfigs")
    topics = [Grant("topic", name, "literal", every) for name in TOPICS]
    groups = [Grant("group", name, "prefix", ("Read", "Describe")) for name in (COMMAND, *SERVICES)]
    return *topics, *groups, Grant("cluster", CLUSTER, "literal", ("Describe",))
