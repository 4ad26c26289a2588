"""What text is found by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.words import LONGEST_WORD, MAX_QUERY, NotSearchable, terms_of, words_of


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Where is my ORDER #12345?", "order 123"),
        ("Zoë Müller-Lüdenscheidt", "zoe muller"),
        ("Zoe Muller", "ZOË MÜLLER"),
        ("Straße", "STRASSE"),
        ("İstanbul ışık", "istanbul isik"),
        ("Łódź, Ærø", "lodz aero"),
        ("Zoe\u0308", "zoë"),
        ("ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("ёлка", "елка"),
        ("東京都の天気", "京都"),
        ("東京都の天気", "気"),
        ("注文 order届きません", "届き"),
        ("안녕하세요", "안녕"),
        ("नमस्ते दुनिया", "नमस्ते"),
        ("สวัสดีครับ", "ครับ"),
        ("l'ami", "ami"),
        ("x" * 100, "x" * 90),
        ('say "refund now"', '"refund now"'),
        ("a_b.c", "b"),
        ("the and of", "the"),
    ],
)
def test_people_find_what_they_mean(text: str, query: str) -> None:
    words, terms = words_of([text]), terms_of(query)
    assert terms
    assert all(any(word.startswith(term) for word in words) for term in terms)


@pytest.mark.parametrize("query", ["", " ", "?!", '""', "\0", ".*", "$^", "🙂"])
def test_signs_alone_are_no_words(query: str) -> None:
    assert terms_of(query) == []


@pytest.mark.parametrize("query", ["a" * (MAX_QUERY + 1), " ".join(f"w{number:02}" for number in range(13))])
def test_what_is_too_long_is_refused(query: str) -> None:
    with pytest.raises(NotSearchable):
        terms_of(query)


def test_a_word_that_begins_another_one_is_not_asked_for_twice() -> None:
    assert terms_of("ref refund refund") == ["refund"]


@given(st.text(max_size=MAX_QUERY))
def test_any_text_is_found_by_itself_and_words_are_plain(text: str) -> None:
    words = words_of([text])
    assert all(0 < len(word) <= LONGEST_WORD and not any(c.isspace() or c == "\0" for c in word) for word in words)
    try:
        terms = terms_of(text)
    except NotSearchable:
        return
    assert all(any(word.startswith(term) for word in words) for term in terms)
    assert bool(terms) == bool(words)


@given(st.text(st.characters(codec="ascii")))
def test_ascii_is_cut_the_quick_way_with_the_same_result(text: str) -> None:
    assert words_of([text]) == [word for word in words_of([f"{text} 京"]) if word != "京"]
