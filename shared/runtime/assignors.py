"""How a group divides partitions: by range, so that partition p of all its topics has one owner (DESIGN 3.1)."""

from collections.abc import Sequence

from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from shared.contracts.topics import PARTITIONS


def assignors(partitions: int) -> Sequence[type[AbstractPartitionAssignor]]:
    """For an installation with this number of partitions, the preferred one first.

    A static member that comes back within the session timeout is given what it had, without a look at the topics: of
    partitions that were added meanwhile nobody would be the owner. The broker divides anew where the protocol that a
    group prefers is another one, and the name says the number. Members of before know the plain one: upgrades pass.
    """
    if partitions == PARTITIONS:
        return (RangePartitionAssignor,)
    numbered = type("NumberedRange", (RangePartitionAssignor,), {"name": f"range-{partitions}"})
    return (numbered, RangePartitionAssignor)
