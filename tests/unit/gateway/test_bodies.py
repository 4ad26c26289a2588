"""What members send, as it is taken."""

import pytest

from services.gateway.bodies import ContactBody

BLANKS = ["", " ", "\t\n\u00a0\u2003"]


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize("field", sorted(ContactBody.model_fields))
def test_a_blank_clears_a_contacts_field_as_null_does(field: str, blank: str) -> None:
    assert ContactBody.model_validate({field: blank}).model_dump(exclude_unset=True) == {field: None}


def test_what_a_contact_is_called_stays_as_it_was_written() -> None:
    assert ContactBody.model_validate({"name": " Ada  L. "}).model_dump(exclude_unset=True) == {"name": " Ada  L. "}
