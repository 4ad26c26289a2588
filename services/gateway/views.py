"""What the API shows of what is stored: the shapes of DESIGN 7."""

from typing import Any

from services.gateway.channels import Channels
from services.gateway.core import ConversationState
from services.gateway.store.commands import CommandState
from shared.contracts.errors import ERRORS
from shared.contracts.resources import BotState, Conversation
from shared.runtime.problems import Problem


def conversation(state: ConversationState, channels: Channels) -> Conversation:
    """Of a conversation that was opened. `bot.configured` is the channel's present setting."""
    configured = channels.bot_kind(state.workspace, state.channel_id) is not None
    assert state.contact is not None and state.status is not None and state.channel_id is not None
    return Conversation(
        id=state.id,
        channel_id=state.channel_id,
        contact=state.contact,
        status=state.status,
        assignee=state.assignee,
        bot=BotState(configured=configured, enabled=state.bot_enabled, epoch=state.bot_epoch),
        needs_human=state.needs_human,
        seq=state.seq,
        unread=state.unread,
        last_message=state.last_message,
        updated_at=state.updated_at,
    )


def refusal(command: CommandState) -> Problem:
    """A rejected command as the answer to its request; what the rejection says beside code and detail goes along."""
    assert command.ending is not None
    said: dict[str, Any] = dict(command.ending.data)
    code, detail = said.pop("code"), said.pop("detail")
    known = ERRORS.get(code)
    status = known.status if known and known.status else 409
    return Problem(status, code, detail, **{name: value for name, value in said.items() if value is not None})
