"""What is read from and written to a topic, as plain values. Topics are named as in the registry, without a prefix."""

from collections.abc import Mapping
from dataclasses import dataclass

Partition = tuple[str, int]
"""(topic, partition)"""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as read; a tombstone's `value` is None; `timestamp_ms` is the producer's clock, in Unix ms.

    `trace`: the header `traceparent` of what follows from it; None unless its group has a span for it.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    timestamp_ms: int
    trace: bytes | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to write; the key decides the partition, and with it the order. A `value` of None is a tombstone."""

    topic: str
    key: str
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Letter:
    """One record to write with its key as it was read: for moving records between topics (dead letters, replays)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
