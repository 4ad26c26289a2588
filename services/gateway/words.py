"""Text -> the words by which it is found. Pure: the projector and the search must agree, so both come here.

Case, accents and width don't matter (`ÉCOLE` = `ecole`, `Straße` = `strasse`). Scripts without spaces are cut into
pairs of characters. There are no stop words and no stems; a query's words match as beginnings of words.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from shared.runtime.folding import folded

LONGEST_WORD = 32
MAX_QUERY = 200
MAX_TERMS = 12

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_ASCII_WORDS = re.compile("[a-z0-9]+")
_RUNS = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")


class NotSearchable(ValueError):
    """A query that is too long or has too many words; says which."""


def words_of(texts: Iterable[str | None]) -> list[str]:
    """The distinct words of the texts, sorted."""
    return sorted({word for text in texts if text for word in _words(text)})


def terms_of(query: str) -> list[str]:
    """What all must be found, as beginnings of words; empty where the query has no letter and no digit.

    Raises NotSearchable.
    """
    if len(query) > MAX_QUERY:
        raise NotSearchable(f"a search has at most {MAX_QUERY} characters")
    words = words_of([query])
    terms = [word for word in words if not any(other != word and other.startswith(word) for other in words)]
    if len(terms) > MAX_TERMS:
        raise NotSearchable(f"a search has at most {MAX_TERMS} words")
    return terms


def _words(text: str) -> Iterator[str]:
    if text.isascii():  # ten times as fast as the whole way, with the same result
        for word in _ASCII_WORDS.findall(text.lower()):
            yield word[:LONGEST_WORD]
        return
    for part in "".join(c if _in_a_word(c) else " " for c in folded(text)).split():
        for run in _RUNS.findall(part):
            if re.match(f"[{_UNSPACED}]", run):
                yield from (run[at : at + 2] for at in range(max(1, len(run) - 1)))
                yield run[-1]
            else:
                yield run[:LONGEST_WORD]


def _in_a_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character) in ("Mn", "Mc")
