"""What the stream keeps of an event: where it stands, who may see it, and its finished frame."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """`audience`: None = the whole workspace, else the one tag (`agent:ID`) that sees it."""

    offset: int
    workspace: str
    audience: str | None
    frame: bytes


def visible(entries: Iterable[Entry], tag: str) -> bytes:
    """The frames that a member with this tag may see, as one write."""
    return b"".join([entry.frame for entry in entries if entry.audience is None or entry.audience == tag])
