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
from itertools import accumulate

from services.snippets.shelf import Snippet
from shared.runtime.folding import folded

MAX_KEPT_BYTES = 256 * 1024 * 1024

Place = tuple[int, str, str]
"""(rank, name, id): where a snippet stands in a list."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A snippet as it is listed."""

    id: str
    name: str
    theme: str | None


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
    """A workspace's snippets by name. `messages`: of all of them, each at its place in `starts`: one text is searched
    much faster than 5,000 are."""

    revision: int
    entries: tuple[Entry, ...]
    messages: str
    starts: tuple[int, ...]

    @property
    def size(self) -> int:
        return 2 * len(self.messages) + 400 * len(self.entries)

    def page(self, query: str, theme: str | None, limit: int, after: str) -> Page:
        """BadPlace."""
        phrase = " ".join(folded(query).split())
        words = [(word, self._with(word)) for word in phrase.split()]
        found: list[Place] = []
        for index, entry in enumerate(self.entries):
            if theme is not None and entry.theme != theme:
                continue
            if entry.name.startswith(phrase):
                found.append((0, entry.name, entry.id))
                continue
            left = [having for word, having in words if word not in entry.name]
            if not left or all(index in having for having in left):
                found.append((2 if left else 1, entry.name, entry.id))
        found.sort()
        first = bisect_right(found, _place(after)) if after else 0
        part = found[first : first + limit]
        more = first + limit < len(found)
        return Page([ident for _, _, ident in part], _text(part[-1]) if more else None, len(found))

    def _with(self, word: str) -> set[int]:
        """The entries whose messages have it."""
        found, at = set(), self.messages.find(word)
        while at >= 0:
            index = bisect_right(self.starts, at) - 1
            found.add(index)
            if index + 1 == len(self.starts):
                break
            at = self.messages.find(word, self.starts[index + 1])
        return found

    def themes(self) -> list[tuple[str, int]]:
        counted = Counter(entry.theme for entry in self.entries if entry.theme is not None)
        return sorted(counted.items(), key=lambda one: folded(one[0]))


def shelf_of(revision: int, snippets: Sequence[Snippet]) -> Shelf:
    ordered = sorted(snippets, key=lambda one: (one.draft.name_key, one.id))
    entries = tuple([Entry(one.id, one.draft.name_key, one.draft.theme) for one in ordered])
    messages = [folded(one.draft.message) + "\n" for one in ordered]  # no word has a line end
    starts = tuple(accumulate((len(message) for message in messages[:-1]), initial=0)) if messages else ()
    return Shelf(revision, entries, "".join(messages), starts)


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
