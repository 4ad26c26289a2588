"""Bodies of the requests. Nothing is coerced, nothing unknown is passed over; sizes as in DESIGN 7."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from services.snippets.core import Fallback, Missing, Policy
from shared.contracts.resources import MAX_FALLBACK
from shared.contracts.shape import Filled, Written

MAX_NAME = 140
MAX_MESSAGE = 5_000

Name = Annotated[Filled, StringConstraints(max_length=MAX_NAME)]
Message = Annotated[Filled, StringConstraints(max_length=MAX_MESSAGE)]
Theme = Annotated[Filled, StringConstraints(max_length=MAX_NAME)]
ContactId = Annotated[Written, StringConstraints(max_length=255)]


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FallbackBody(Body):
    fallback: Annotated[Written, StringConstraints(max_length=MAX_FALLBACK)]


class _Rendered(Body):
    missing: Policy | FallbackBody = "block"

    @property
    def policy(self) -> Missing:
        return Fallback(self.missing.fallback) if isinstance(self.missing, FallbackBody) else self.missing


class SnippetBody(_Rendered):
    name: Name
    message: Message
    theme: Theme | None = None


class PreviewBody(_Rendered):
    """An unsaved text; what is missing doesn't refuse it."""

    message: Annotated[Written, StringConstraints(max_length=MAX_MESSAGE)]
    contact_id: ContactId


class RenderBody(Body):
    contact_id: ContactId
