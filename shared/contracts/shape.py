"""Base of every wire model: frozen and strict when we produce; readers decode with `extra="ignore"` (DESIGN 5)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from shared.contracts.ids import MESSAGE_ID_PATTERN, UUID_PATTERN, WORKSPACE_PATTERN

Workspace = Annotated[str, StringConstraints(pattern=WORKSPACE_PATTERN)]
Uuid = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
MessageId = Annotated[str, StringConstraints(pattern=MESSAGE_ID_PATTERN)]
MemberId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ExternalId = Annotated[str, StringConstraints(min_length=1, max_length=512)]

MAX_TEXT = 16_384
MAX_ATTACHMENTS = 10
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]

Written = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""What we take from outside: no NUL, which no store or channel takes. Records are read as they were written."""
Filled = Annotated[str, StringConstraints(pattern=r"^[^\x00]*[^\s\x00\x1c-\x1f][^\x00]*$")]
"""The same, and not blank: neither white space alone nor what Python strips beside it (U+001C to U+001F)."""


def null_if_blank(text: str | None) -> str | None:
    """The text as it is, or null for a blank one: missing values are null, whoever left them out (DESIGN 7)."""
    return text if text and not text.isspace() else None


class Shape(BaseModel):
    """A wire model: unknown fields are an error on the way out, values are never coerced."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", json_schema_serialization_defaults_required=True
    )
