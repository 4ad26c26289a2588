"""What a member of a group owns, and from where it reads. State and rules, no Kafka."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from shared.runtime.faults import Fatal, Fenced
from shared.runtime.records import Partition


@dataclass
class Holdings:
    """The partitions this member may work on now, and how far it is.

    `positions`: the next offset to be handled; `committed`: what the group has stored, 0 where nothing; `written`: when
    the last handled record was written, in ms since the epoch, for partitions that have handled one.
    """

    owned: frozenset[Partition] = frozenset()
    positions: dict[Partition, int] = field(default_factory=dict)
    written: dict[Partition, int] = field(default_factory=dict)
    _committed: dict[Partition, int] = field(default_factory=dict)

    @property
    def committed(self) -> Mapping[Partition, int]:
        return MappingProxyType(self._committed)

    def take(self, starts: Mapping[Partition, int], committed: Mapping[Partition, int]) -> None:
        self.positions = dict(starts)
        self._committed = dict(committed)
        self.written = {}
        self.owned = frozenset(starts)

    def release(self) -> frozenset[Partition]:
        """Own nothing from here on; what was owned."""
        released, self.owned = self.owned, frozenset()
        return released

    def handled(self, offsets: Mapping[Partition, int]) -> None:
        self.positions.update(offsets)

    def stored(self, offsets: Mapping[Partition, int]) -> None:
        self._committed.update(offsets)

    def position(self, partition: Partition) -> int:
        if partition not in self.owned:
            raise Fenced(f"partition {partition[0]}/{partition[1]} is not ours")
        return self.positions[partition]


def starting_points(
    committed: Mapping[Partition, int | None], first: Mapping[Partition, int], end: Mapping[Partition, int]
) -> dict[Partition, int]:
    """Where to begin reading: at the committed offset, at the oldest record where nothing is committed.

    Fatal, naming the topic, when the stored offset is not inside of the partition: above its end the topic lost records
    or was made anew behind the group's back; below its first record unread records are gone.
    """
    for at, stored in committed.items():
        if stored is not None and not first[at] <= stored <= end[at]:
            raise Fatal(
                f"the group's stored offset {stored} of topic {at[0]} partition {at[1]} is outside of what the broker "
                f"has ({first[at]}..{end[at]}): records were lost or the topic was made anew; "
                "reset the group's offsets knowingly"
            )
    return {at: first[at] if stored is None else stored for at, stored in committed.items()}
