"""Bodies of the requests. Nothing is coerced, nothing unknown is passed over; sizes as in DESIGN 7."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from services.snippets.core import Fallback, Missing
from shared.contracts.resources import SnippetFallback

MAX_NAME = 140
MAX_MESSAGE = 5_000

Name = Annotated[str, StringConstraints(max_length=MAX_NAME, pattern=r"\S")]
Message = Annotated[str, StringConstraints(max_length=MAX_MESSAGE, pattern=r"\S")]
Theme = Annotated[str, StringConstraints(max_length=MAX_NAME, pattern=r"\S")]


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Rendered(Body):
    missing: Literal["literal", "omit", "block"] | SnippetFallback = "block"

    @property
    def policy(self) -> Missing:
        return Fallback(self.missing.fallback) if isinstance(self.missing, SnippetFallback) else self.missing


class SnippetBody(_Rendered):
    name: Name
    message: Message
    theme: Theme | None = None


class PreviewBody(_Rendered):
    """An unsaved text; what is missing doesn't refuse it."""

    message: Annotated[str, StringConstraints(max_length=MAX_MESSAGE)]
    contact_id: Annotated[str, StringConstraints(max_length=255)]


class RenderBody(Body):
    contact_id: Annotated[str, StringConstraints(max_length=255)]
