"""Bodies of the gateway's requests. Nothing is coerced, nothing unknown is passed over; sizes as in DESIGN 7."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from shared.contracts.resources import MAX_NAME, Role
from shared.contracts.shape import MAX_ATTACHMENTS, MAX_TEXT, Filled, Written, null_if_blank

MAX_SEQ = 10**15
Seq = Annotated[int, Field(ge=0, le=MAX_SEQ)]
Ident = Annotated[Written, StringConstraints(min_length=1, max_length=255)]


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class NoBody(Body):
    """`{}`, or no body at all."""


class AttachmentBody(Body):
    media_id: Ident


class ReplyBody(Body):
    text: Annotated[Written, StringConstraints(max_length=MAX_TEXT)] | None = None
    attachments: Annotated[list[AttachmentBody], Field(max_length=MAX_ATTACHMENTS)] = []
    snippet_id: Ident | None = None
    last_seen_seq: Seq | None = None
    force: bool = False
    disable_bot: bool = False


class NoteBody(Body):
    text: Annotated[Filled, StringConstraints(max_length=MAX_TEXT)]


class AssignmentBody(Body):
    assignee: Ident | None
    expected_version: Seq | None = None


class BotBody(Body):
    enabled: bool


class ReadBody(Body):
    up_to_seq: Seq


Short = Annotated[Written, StringConstraints(max_length=MAX_NAME)]
ContactValue = Annotated[Short | None, AfterValidator(null_if_blank)]


class ContactBody(Body):
    """Null clears a field, and so does a blank text; leaving it out keeps it."""

    first_name: ContactValue = None
    last_name: ContactValue = None
    name: ContactValue = None
    email: ContactValue = None
    country: ContactValue = None


class MemberBody(Body):
    role: Role | None = None
    name: Annotated[Filled, StringConstraints(max_length=MAX_NAME)] | None = None
    active: bool | None = None
