"""When a bot is asked, and what routing is told (DESIGN 3.7, 11)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.contracts.commands import Actor, BotFailed, BotReply, BotText
from shared.contracts.ids import bot_reply_id, document_key
from shared.contracts.outbound import BotRequest
from shared.contracts.times import from_timestamp, to_timestamp

STALE_AFTER_S = 60.0
ERASED = "erased"
"""The outcome of a question whose contact was erased before it was answered. Nobody is told."""
BOT = Actor(kind="bot", id=None, name="bot")


@dataclass(frozen=True, slots=True)
class Request:
    """A question to a bot as it is kept until it is answered. `trace`: the header that its answer carries on. `erased`:
    its contact was, before it was stored."""

    record: BotRequest
    partition: int
    trace: bytes | None = None
    erased: bool = False

    @property
    def ident(self) -> str:
        return f"{document_key(self.record.workspace, self.record.message.id)}:{self.record.epoch}"

    @property
    def lane(self) -> str:
        return document_key(self.record.workspace, self.record.conversation_id)

    @property
    def answer_id(self) -> str:
        """Of the command that answers it, and of the request to the bot: the first answer wins, a repeat is known."""
        return bot_reply_id(self.record.message.id, self.record.epoch)

    @property
    def stale_at(self) -> datetime:
        return from_timestamp(self.record.requested_at) + timedelta(seconds=STALE_AFTER_S)


@dataclass(frozen=True, slots=True)
class Answered:
    texts: tuple[str, ...]
    handoff: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """No usable answer. `reason` is a stable code; `again`: asking once more may help."""

    reason: str
    again: bool = False


Answer = Answered | Broken


def command(request: Request, answer: Answer, now: datetime) -> BotReply | BotFailed:
    """What routing is told. The same id for every answer to this request."""
    if isinstance(answer, Answered):
        return BotReply(
            id=request.answer_id,
            workspace=request.record.workspace,
            conversation_id=request.record.conversation_id,
            actor=BOT,
            accepted_at=to_timestamp(now),
            request_message_id=request.record.message.id,
            epoch=request.record.epoch,
            replies=tuple(BotText(text=text) for text in answer.texts),
            handoff=answer.handoff,
        )
    return BotFailed(
        id=request.answer_id,
        workspace=request.record.workspace,
        conversation_id=request.record.conversation_id,
        actor=BOT,
        accepted_at=to_timestamp(now),
        request_message_id=request.record.message.id,
        epoch=request.record.epoch,
        reason=answer.reason,
    )
