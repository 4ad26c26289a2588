"""One connected client as the hub sees it, whatever carries its frames."""

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


class Subscriber:
    """`position` = the last offset accounted for until it is LIVE. `congested`: its wire asked for a pause."""

    __slots__ = ("congested", "member_id", "position", "stage", "stalled", "tag", "wire", "workspace", "write")

    def __init__(self, workspace: str, member_id: str, wire: Wire) -> None:
        self.workspace = workspace
        self.member_id = member_id
        self.tag = f"agent:{member_id}"
        self.wire = wire
        self.write = wire.write  # bound once: the loop over all sockets does nothing but call it
        self.stage = Stage.OPENING
        self.position = -1
        self.congested = False
        self.stalled = False
