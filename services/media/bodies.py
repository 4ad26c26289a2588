"""Bodies of the requests. Nothing is coerced, nothing unknown is passed over; sizes in bytes."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_DESCRIPTION = 1_000

Name = Annotated[str, StringConstraints(max_length=1_000)]
Description = Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION)]


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FileBody(Body):
    name: Name
    content_type: Annotated[str, StringConstraints(max_length=255)]
    size: Annotated[int, Field(ge=1, le=10**15)]
    description: Description | None = None


class FileChanges(Body):
    """What is left out stays; a description of null is taken away."""

    name: Name | None = None
    description: Description | None = None
