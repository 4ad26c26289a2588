"""The variables of snippets, to the letter of DESIGN 9."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.snippets.core import VARIABLES, Fallback, Missing, Template, UnknownVariable

ANA = {
    "contact.name": "Ana $contact.email {{1}} <b>",
    "contact.firstname": "Ana $contact.email",
    "contact.lastname": "{{1}} <b>",
    "contact.email": "ana@example.org",
    "contact.country": None,
    "contact.id": "42",
}

CASES = {
    "Hi $contact.name!": "Hi Ana $contact.email {{1}} <b>!",
    "$contact.firstname|$contact.lastname": "Ana $contact.email|{{1}} <b>",
    "cost: $5, $ contact, $$contact.email": "cost: $5, $ contact, $ana@example.org",
    "mail $contact.email.": "mail ana@example.org.",
    "mail $contact.email...": "mail ana@example.org...",
    "($contact.id)$contact.id": "(42)42",
    "$contact. $contact $contact.": "$contact. $contact $contact.",
    "$contact..name": "$contact..name",
    "$Contact.name $CONTACT.ID": "$Contact.name $CONTACT.ID",
    "%s {} {0} \\1 \\g<0>": "%s {} {0} \\1 \\g<0>",
    "": "",
}


@pytest.mark.parametrize("message", CASES)
def test_a_text_is_rendered_as_the_contract_says(message: str) -> None:
    assert Template(message).render(ANA, "literal").text == CASES[message]


@pytest.mark.parametrize(
    ("missing", "text"),
    [("literal", "from $contact.country."), ("omit", "from ."), (Fallback("$contact.id"), "from $contact.id.")],
)
def test_what_is_missing_is_replaced_by_policy(missing: Missing, text: str) -> None:
    rendered = Template("from $contact.country.").render(ANA, missing)
    assert (rendered.text, rendered.missing) == (text, ["contact.country"])


def test_each_variable_is_named_once_in_the_order_of_the_text() -> None:
    rendered = Template("$contact.country $contact.id $contact.country").render(ANA, "block")
    assert [(use.name, use.value, use.status) for use in rendered.variables] == [
        ("contact.country", None, "missing"),
        ("contact.id", "42", "ok"),
    ]


def test_an_empty_value_is_a_missing_one() -> None:
    assert Template("$contact.email").render({**ANA, "contact.email": ""}, "block").missing == ["contact.email"]


@pytest.mark.parametrize(
    ("message", "name", "position", "where"),
    [
        ("Hi $contact.nickname", "contact.nickname", 3, "line 1, column 4"),
        ("a\nb\n  $contact.name.first", "contact.name.first", 6, "line 3, column 3"),
        ("$contact.id $contact.emails", "contact.emails", 12, "line 1, column 13"),
        ("$contact.Email", "contact.Email", 0, "line 1, column 1"),
    ],
)
def test_an_unknown_variable_is_refused_with_its_position(message: str, name: str, position: int, where: str) -> None:
    with pytest.raises(UnknownVariable, match=re.escape(where)) as refused:
        Template(message)
    assert (refused.value.name, refused.value.position) == (name, position)


texts = st.text(st.sampled_from("$.{}ab contact\\%_0ä\n"), max_size=60)
anything = st.one_of(texts, st.sampled_from(["$contact.id", "$contact.name", "$contact.email.", "$", "$contact."]))


@given(texts.filter(lambda text: "$contact." not in text))
def test_rendering_is_the_identity_on_text_without_variables(text: str) -> None:
    assert Template(text).render({}, "block").text == text


@given(
    st.lists(st.tuples(texts.filter(lambda text: "$" not in text), st.sampled_from(VARIABLES)), max_size=8), st.data()
)
def test_values_go_in_as_they_are_and_are_never_evaluated_again(
    parts: list[tuple[str, str]], data: st.DataObject
) -> None:
    values = {name: data.draw(anything.filter(bool)) for name in VARIABLES}
    message = "".join(f"{text} ${name} " for text, name in parts)
    expected = "".join(f"{text} {values[name]} " for text, name in parts)
    assert Template(message).render(values, "literal").text == expected
