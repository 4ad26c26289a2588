"""Bodies of the requests. Nothing is coerced, nothing unknown is passed over; sizes in bytes."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.contracts.shape import Written

MAX_DESCRIPTION = 1_000

Name = Annotated[Written, StringConstraints(max_length=1_000)]
Description = Annotated[Written, StringConstraints(max_length=MAX_DESCRIPTION)]


ContentType = Annotated[Written, StringConstraints(max_length=255)]
Size = Annotated[int, Field(ge=1, le=10**15)]


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FileBody(Body):
    name: Name
    content_type: ContentType
    size: Size
    description: Description | None = None


class MediaBody(Body):
    """A recording, or a file for one reply."""

    purpose: Literal["voice", "attachment"]
    content_type: ContentType
    size: Size
    filename: Name | None = None
    conversation_id: Annotated[Written, StringConstraints(min_length=1, max_length=255)]


class FileChanges(Body):
    """What is left out stays; a description of null is taken away."""

    name: Name | None = None
    description: Description | None = None
