"""What members send, as it is taken."""

import pytest
from pydantic import ValidationError

from services.gateway.bodies import Body, ContactBody, MemberBody, NoteBody, ReplyBody

BLANKS = ["", " ", "\t\n\u00a0\u2003"]


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize("field", sorted(ContactBody.model_fields))
def test_a_blank_clears_a_contacts_field_as_null_does(field: str, blank: str) -> None:
    assert ContactBody.model_validate({field: blank}).model_dump(exclude_unset=True) == {field: None}


def test_what_a_contact_is_called_stays_as_it_was_written() -> None:
    assert ContactBody.model_validate({"name": " Ada  L. "}).model_dump(exclude_unset=True) == {"name": " Ada  L. "}


TEXTS: list[tuple[type[Body], str]] = [(ReplyBody, "text"), (NoteBody, "text"), (MemberBody, "name")]


@pytest.mark.parametrize(("model", "field"), [*TEXTS, *((ContactBody, name) for name in ContactBody.model_fields)])
def test_a_text_with_a_nul_is_refused(model: type[Body], field: str) -> None:
    for text in ("a\0b", "\0", "\0a", "a\n\0"):
        with pytest.raises(ValidationError) as refused:
            model.model_validate({field: text})
        assert [fault["loc"] for fault in refused.value.errors()] == [(field,)]
    for text in ("a\nb", "\n a", "a\n", "\u2003\x07ü👋"):
        assert model.model_validate({field: text}).model_dump()[field] == text


@pytest.mark.parametrize("text", ["", " ", "\n\u2003\t", "\x1c", " \x1f "])
def test_a_note_says_something(text: str) -> None:
    with pytest.raises(ValidationError):
        NoteBody(text=text)
