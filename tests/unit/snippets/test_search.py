"""Ranking and pages of a workspace's snippets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.snippets.search import BadPlace, Shelf, shelf_of
from services.snippets.shelf import Snippet, drafted
from shared.runtime.folding import folded


def shelf(*texts: tuple[str, str]) -> Shelf:
    drafts = [drafted(name, message, None, "block") for name, message in texts]
    return shelf_of(1, [Snippet("acme", f"id-{number}", draft, 1, 0, "") for number, draft in enumerate(drafts)])


def found(kept: Shelf, query: str) -> list[str]:
    return kept.page(query, None, 100, "").idents


def test_an_empty_shelf_has_an_empty_page() -> None:
    page = shelf().page("x", None, 10, "")
    assert (page.idents, page.following, page.total) == ([], None, 0)


def test_a_name_that_begins_with_it_comes_before_a_name_that_has_it_and_before_a_message() -> None:
    kept = shelf(("z refund", "x"), ("Refund, please", "x"), ("other", "a REFUND"), ("nothing", "x"))
    assert found(kept, "  refund ") == ["id-1", "id-0", "id-2"]


def test_all_words_must_be_there_wherever_they_stand() -> None:
    kept = shelf(("return form", "send it back"), ("form", "nothing"), ("back", "return"))
    assert found(kept, "back form") == ["id-0"]


def test_a_word_does_not_reach_over_two_messages() -> None:
    assert found(shelf(("a", "one"), ("b", "two")), "onetwo") == []


@pytest.mark.parametrize("after", ["x", "AAAA", "WzEsMl0=", "é", "bnVsbA==", "e30="])
def test_a_page_mark_of_somebody_else_is_refused(after: str) -> None:
    with pytest.raises(BadPlace):
        shelf(("a", "b")).page("", None, 1, after)


words = st.text("abÄ ", max_size=4)
texts = st.tuples(words.map(lambda text: text + "n"), words.map(lambda text: text + "m"))


@given(st.lists(texts, max_size=12, unique_by=lambda one: " ".join(folded(one[0]).split())), words, st.integers(1, 4))
def test_pages_together_are_what_a_plain_search_finds(rows: list[tuple[str, str]], query: str, limit: int) -> None:
    kept, wanted = shelf(*rows), folded(query).split()
    pages, after = list[str](), ""
    while True:
        page = kept.page(query, None, limit, after)
        pages += page.idents
        if page.following is None:
            break
        after = page.following
    plain = {
        f"id-{number}"
        for number, (name, message) in enumerate(rows)
        if all(word in " ".join(folded(name).split()) or word in folded(message) for word in wanted)
    }
    assert (set(pages), len(pages), page.total) == (plain, len(plain), len(plain))
