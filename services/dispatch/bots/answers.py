"""How a bot's HTTP answer reads. Whatever it sends, an Answer comes out (DESIGN 11)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from services.dispatch.core.bot import Answer, Answered, Broken
from shared.contracts.shape import MAX_TEXT, Written
from shared.runtime.outbound_http import Answer as HttpAnswer

MAX_REPLIES = 20
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429})


class _Said(BaseModel):
    model_config = ConfigDict(strict=True)
    text: Annotated[Written, StringConstraints(min_length=1, max_length=MAX_TEXT)]


class _Body(BaseModel):
    """What a bot answers; null is as good as nothing. A `conversation_id`, if given, must be ours; other fields are its
    own business."""

    model_config = ConfigDict(strict=True)
    replies: Annotated[list[_Said], Field(max_length=MAX_REPLIES)] | None = None
    handoff: bool | None = None
    conversation_id: str | None = None


def read_answer(answer: HttpAnswer, conversation_id: str) -> Answer:
    """A bot's HTTP answer; whatever it sends, an Answer comes out."""
    if not 200 <= answer.status < 300:
        again = answer.status >= 500 or answer.status in _WORTH_ANOTHER_TRY
        return Broken(f"HTTP_{answer.status}", again)
    if not answer.complete:
        return Broken("TOO_LARGE_OR_CUT")
    if not answer.body.strip():
        return Answered(())
    try:
        body = _Body.model_validate_json(answer.body)
    except ValidationError:
        return Broken("GARBAGE")
    if body.conversation_id not in (None, conversation_id):
        return Broken("OTHER_CONVERSATION")
    return Answered(tuple(said.text for said in body.replies or ()), bool(body.handoff))
