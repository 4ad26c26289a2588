"""The recent events of one partition in memory, bounded in bytes and count. Pure.

Covers every offset from `start` to `last`: what it doesn't hold there was a repeat or no event.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from services.gateway.stream.entry import Entry

ENTRY_OVERHEAD = 300
"""Bytes that an entry takes beside its frame, roughly."""

MAX_DROPPED = 64
"""Entries that a workspace's list may hold beyond the bounds, so that cutting its head stays cheap."""

_offset = attrgetter("offset")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive entries of one workspace; `upto` = the last offset that they account for."""

    entries: Sequence[Entry]
    upto: int


def stretch(entries: Sequence[Entry], after: int, last: int, max_bytes: int, skip: int = 0) -> Stretch:
    """The first entries after offset `after` that fit into `max_bytes` (at least one); up to `last` if all fit."""
    first = index = bisect_right(entries, after, lo=skip, key=_offset)
    size = 0
    while index < len(entries) and (index == first or size + len(entries[index].frame) <= max_bytes):
        size += len(entries[index].frame)
        index += 1
    return Stretch(entries[first:index], last if index == len(entries) else entries[index - 1].offset)


class Ring:
    def __init__(self, start: int, max_bytes: int, max_entries: int) -> None:
        self.start = start
        self.last = start - 1
        self._max_bytes, self._max_entries = max_bytes, max_entries
        self._bytes = 0
        self._entries: deque[Entry] = deque()
        self._by_workspace: dict[str, _Line] = {}

    def covers(self, after: int) -> bool:
        """Whether everything after this offset, up to `last`, is known here."""
        return self.start - 1 <= after <= self.last

    def append(self, entry: Entry) -> None:
        """The next entry, in offset order."""
        self._entries.append(entry)
        self._by_workspace.setdefault(entry.workspace, _Line()).entries.append(entry)
        self._bytes += len(entry.frame) + ENTRY_OVERHEAD
        self.last = entry.offset
        while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self._drop_oldest()

    def advance(self, offset: int) -> None:
        """This offset holds nothing to deliver."""
        self.last = offset

    def after(self, workspace: str, offset: int, max_bytes: int) -> Stretch:
        """The workspace's next entries after an offset that is covered."""
        line = self._by_workspace.get(workspace)
        if line is None:
            return Stretch((), self.last)
        return stretch(line.entries, offset, self.last, max_bytes, line.dropped)

    def _drop_oldest(self) -> None:
        entry = self._entries.popleft()
        self._bytes -= len(entry.frame) + ENTRY_OVERHEAD
        self.start = entry.offset + 1
        line = self._by_workspace[entry.workspace]
        line.drop_oldest()
        if line.dropped == len(line.entries):
            del self._by_workspace[entry.workspace]


class _Line:
    """One workspace's entries: a list, because it is searched by offset; its dropped head is cut off in steps."""

    __slots__ = ("dropped", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.dropped = 0

    def drop_oldest(self) -> None:
        self.dropped += 1
        if self.dropped >= MAX_DROPPED and self.dropped < len(self.entries):
            del self.entries[: self.dropped]
            self.dropped = 0
