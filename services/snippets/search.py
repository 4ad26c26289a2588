"""Finding snippets: name prefix before name before message, without case and accents; a workspace's 5,000 at most.

Pure but for `Shelves`, which keeps a folded copy of each workspace's snippets in memory for as long as it is new.
"""

import base64
import binascii
import json
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.snippets.shelf import Snippet
from shared.runtime.folding import folded

MAX_KEPT_BYTES = 256 * 1024 * 1024

Place = tuple[int, str, str]
"""(rank, name, id): where a snippet stands in a list."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A snippet as it is searched."""

    id: str
    name: str
    message: str
    theme: str | None

    def rank(self, phrase: str, words: Sequence[str]) -> int | None:
        """0: the name begins with the phrase, 1: the name has all words, 2: name and message together; else None."""
        if self.name.startswith(phrase):
            return 0
        left = [word for word in words if word not in self.name]
        if not left:
            return 1
        return 2 if all(word in self.message for word in left) else None


@dataclass(frozen=True, slots=True)
class Page:
    """`following`: `after` of the next page, None on the last one. `total`: of all pages."""

    idents: list[str]
    following: str | None
    total: int


class BadPlace(ValueError):
    """`after` is none of ours."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A workspace's snippets by name."""

    revision: int
    entries: tuple[Entry, ...]
    size: int

    def page(self, query: str, theme: str | None, limit: int, after: str) -> Page:
        """BadPlace."""
        phrase = " ".join(folded(query).split())
        words = phrase.split()
        found: list[Place] = []
        for entry in self.entries:
            if theme is not None and entry.theme != theme:
                continue
            rank = entry.rank(phrase, words) if phrase else 0
            if rank is not None:
                found.append((rank, entry.name, entry.id))
        found.sort()
        first = bisect_right(found, _place(after)) if after else 0
        part = found[first : first + limit]
        more = first + limit < len(found)
        return Page([ident for _, _, ident in part], _text(part[-1]) if more else None, len(found))

    def themes(self) -> list[tuple[str, int]]:
        counted = Counter(entry.theme for entry in self.entries if entry.theme is not None)
        return sorted(counted.items(), key=lambda one: folded(one[0]))


def shelf_of(revision: int, snippets: Sequence[Snippet]) -> Shelf:
    entries = [Entry(one.id, one.draft.name_key, folded(one.draft.message), one.draft.theme) for one in snippets]
    size = sum(2 * len(entry.message) + len(entry.name) + 200 for entry in entries)
    return Shelf(revision, tuple(sorted(entries, key=lambda entry: (entry.name, entry.id))), size)


Revision = Callable[[str], Awaitable[int]]
Contents = Callable[[str], Awaitable[tuple[int, list[Snippet]]]]


class Shelves:
    """The least recently used ones go when all together are too large."""

    def __init__(self, revision: Revision, contents: Contents, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._revision, self._contents, self._max_bytes = revision, contents, max_bytes
        self._kept: OrderedDict[str, Shelf] = OrderedDict()

    async def of(self, workspace: str) -> Shelf:
        """As new as the database at the moment of the call."""
        revision, kept = await self._revision(workspace), self._kept.get(workspace)
        if kept is None or kept.revision < revision:
            kept = shelf_of(*await self._contents(workspace))
            self._kept[workspace] = kept
        self._kept.move_to_end(workspace)
        while len(self._kept) > 1 and sum(shelf.size for shelf in self._kept.values()) > self._max_bytes:
            self._kept.popitem(last=False)
        return kept


def _text(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place, ensure_ascii=False).encode()).decode()


def _place(text: str) -> Place:
    try:
        rank, name, ident = json.loads(base64.b64decode(text.encode("ascii"), b"-_", validate=True))
    except (UnicodeError, binascii.Error, ValueError, TypeError, RecursionError):
        raise BadPlace from None
    if not (isinstance(rank, int) and isinstance(name, str) and isinstance(ident, str)):
        raise BadPlace
    return rank, name, ident
