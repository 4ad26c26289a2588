"""What a group consumer hands to its handler. Must not know the client library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from shared.runtime.records import Partition, Record


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in the order of their partitions, and the offsets the group has committed as far as known (0 where none).

    `committed` is a live view: it moves after each commit, never while a batch is being handled.
    """

    records: Sequence[Record]
    committed: Mapping[Partition, int]

    def next_offsets(self) -> dict[Partition, int]:
        """Where each partition of this batch goes on."""
        return {(record.topic, record.partition): record.offset + 1 for record in self.records}

    def written(self) -> dict[Partition, int]:
        """When the last record of each partition was written, in Unix ms by its producer's clock."""
        return {(record.topic, record.partition): record.timestamp_ms for record in self.records}

    def only(self, record: Record) -> "Batch":
        return replace(self, records=(record,))

    def without(self, culprit: Record) -> "Batch":
        return replace(self, records=tuple(record for record in self.records if not same_place(record, culprit)))


def same_place(one: Record, other: Record) -> bool:
    return (one.topic, one.partition, one.offset) == (other.topic, other.partition, other.offset)


class Handler(Protocol):
    """What a group does with its records. Never called twice at the same time."""

    async def handle(self, batch: Batch) -> None:
        """Return when every effect of the batch is durable: its offsets are committed then.

        May be called again with the same records, in other batches. Raise `Poison`, `Transient`, `Fenced` or `Fatal` to
        say what to do instead; anything else counts as a bug. Not returning is the back-pressure; past the group's
        `max_poll_interval_s` the partitions are lost to another member.
        """

    async def assigned(self, partitions: frozenset[Partition], committed: Mapping[Partition, int]) -> None:
        """These partitions are ours from here on, read from `committed` (0 where none). Also called after a fence."""

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        """Drop whatever is cached about these partitions: another may write from here on. Also called at stop."""
