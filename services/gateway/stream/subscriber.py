"""One connected client as the hub sees it, whatever carries its frames."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Stage(Enum):
    OPENING = "its cursor is still being proved; it has got nothing yet"
    CATCHING_UP = "it gets what it missed, at its own pace"
    FETCHING = "the same, waiting for a range from Kafka"
    LIVE = "it has everything, and gets each batch as it comes"
    CLOSED = "it gets nothing any more"


class Wire(Protocol):
    """Where a client's frames go. No call blocks or waits."""

    def write(self, data: bytes) -> None:
        """Whole frames. What the peer can't take at once is buffered without a bound: the hub keeps it."""

    def buffered(self) -> int:
        """Bytes that are written and not yet taken."""

    def close(self, code: int, reason: str) -> None:
        """Say goodbye after what is buffered; cut off the peer that doesn't take it in time."""


@dataclass(frozen=True, slots=True)
class Passing:
    """A frame that nobody resumes: of those with one `name` only the latest matters, and none after `ends` (monotonic
    seconds)."""

    name: tuple[str, str, str]
    frame: bytes
    ends: float = math.inf


MOST_KEPT = 256


class Subscriber:
    """`position` = the last offset accounted for until it is LIVE. `congested`: its wire asked for a pause. `late`: it
    was live, and is catching up with a large batch. `kept`: the latest of each passing frame that it could not take."""

    __slots__ = (
        "congested",
        "kept",
        "late",
        "member_id",
        "position",
        "stage",
        "stalled",
        "tag",
        "wire",
        "workspace",
        "write",
    )

    def __init__(self, workspace: str, member_id: str, wire: Wire) -> None:
        self.workspace = workspace
        self.member_id = member_id
        self.tag = f"agent:{member_id}"
        self.wire = wire
        self.write = wire.write  # bound once: the loop over all sockets does nothing but call it
        self.stage = Stage.OPENING
        self.position = -1
        self.congested = False
        self.late = False
        self.stalled = False
        self.kept: dict[tuple[str, str, str], Passing] | None = None

    def give(self, passing: Passing) -> bool:
        """Whether it was written; else it is kept."""
        if self.stage is Stage.LIVE and not self.congested:
            self.write(passing.frame)
            return True
        if self.kept is None:
            self.kept = {}
        self.kept.pop(passing.name, None)
        self.kept[passing.name] = passing
        if len(self.kept) > MOST_KEPT:
            del self.kept[next(iter(self.kept))]
        return False

    def give_kept(self) -> None:
        if self.kept and self.stage is Stage.LIVE and not self.congested:
            kept, self.kept = self.kept, None
            self.write(b"".join([passing.frame for passing in kept.values()]))

    def forget_passed(self, now: float) -> None:
        kept = {name: passing for name, passing in (self.kept or {}).items() if passing.ends > now}
        self.kept = kept or None
