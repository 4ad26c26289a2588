"""How a new socket gets from its cursor to the live events. Pure: a decision, no reading.

Never a partial recovery: a cursor is served whole, from memory or from Kafka, or its holder is told to take a snapshot.
"""

from dataclasses import dataclass
from typing import Literal

from services.gateway.stream import cursor as cursors
from services.gateway.stream.cursor import Cursor

Way = Literal["live", "ring", "kafka", "ahead", "snapshot"]
"""`live`: nothing to make up for. `ahead`: the cursor is newer than what this replica has read."""

Reason = cursors.Reason | Literal["diverged", "unavailable"]
"""Why a snapshot is required: the cursor's fault, or the log contradicts itself, or can't be read at the moment."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`after`: the offset after which the socket's events begin. `reason` goes with `snapshot` only."""

    way: Way
    after: int
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What this replica has in memory of a partition: offsets `start` to `last`. It reads back at most `reach` more."""

    partition: int
    start: int
    last: int
    reach: int


def decide(cursor: Cursor | None, known: Known) -> Decision:
    """For an authentic cursor of this workspace and incarnation, or none."""
    if cursor is None:
        return Decision("live", known.last)
    if cursor.partition != known.partition:  # the topic has another number of partitions now
        return refuse("recreated", known)
    if cursor.offset > known.last:
        return Decision("ahead", cursor.offset)
    if cursor.offset >= known.start - 1:
        return Decision("ring", cursor.offset)
    if known.start - 1 - cursor.offset > known.reach:
        return refuse("expired", known)
    return Decision("kafka", cursor.offset)


def refuse(reason: Reason, known: Known) -> Decision:
    """Tell it, and go on with live events."""
    return Decision("snapshot", known.last, reason)
