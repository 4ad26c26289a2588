"""Rules about the bot: its epochs, its answers, its silence (DESIGN 6, I4)."""

from typing import Literal

from services.routing.core.decision import Draft
from services.routing.core.sending import Words, send
from services.routing.core.state import SENT_LIMIT
from shared.contracts.commands import BotFailed, BotReply, EnableBot
from shared.contracts.events import BotDisabled, BotEnabled, BotFailure, BotReplyDropped
from shared.contracts.outbound import BotFence
from shared.contracts.resources import Author

BOT = Author(kind="bot", id=None, name="bot")
Why = Literal["manual", "reply", "handoff", "bot_removed"]


def disable(draft: Draft, by: str, why: Why) -> None:
    """The fence comes with the event; whoever publishes has it acknowledged first."""
    _fence(draft)
    draft.event(BotDisabled(epoch=draft.state.bot_epoch + 1, by=by, reason=why), actor=by)


def silence(draft: Draft) -> None:
    """A bot that handed over is disabled already, and its parting words may still be under way: not after a person said
    so, too. Enabled again, it speaks with the very epoch that this fence asks for."""
    sent = draft.state.sent
    if len(sent) == SENT_LIMIT or any(one.status == "queued" for one in sent):
        _fence(draft)


def _fence(draft: Draft) -> None:
    state = draft.state
    draft.effect(BotFence(workspace=state.workspace, conversation_id=state.id, bot_epoch=state.bot_epoch + 1))


def disable_by_command(draft: Draft) -> None:
    """Where a person is needed, one is here now: said by an event, also of a bot that is disabled already."""
    if draft.state.bot_enabled or draft.state.needs_human:
        disable(draft, draft.cause.actor, "manual")
    else:
        silence(draft)
        draft.accepted("The bot is disabled already.")


def enable_by_command(draft: Draft, item: EnableBot) -> None:
    if item.bot_kind is None:
        draft.rejected("NO_BOT", "The channel has no bot.")
    elif draft.state.bot_enabled:
        draft.accepted("The bot is enabled already.")
    else:
        draft.event(BotEnabled(epoch=draft.state.bot_epoch + 1, by=draft.cause.actor, reason="manual"))


def removed(draft: Draft, bot_kind: str | None) -> None:
    """The channel lost its bot: the first inbound record that says so disables it here too."""
    if bot_kind is None and draft.state.bot_enabled:
        disable(draft, "system", "bot_removed")


def reply(draft: Draft, item: BotReply) -> None:
    """A reply that hands over carries the epoch after it: its own fence must not silence the bot's parting words."""
    if _dropped(draft, item.epoch):
        return
    epoch = item.epoch + 1 if item.handoff else item.epoch
    for answer in item.replies:
        send(draft, Words(BOT, item.accepted_at, answer.text), epoch)
    if item.handoff:
        disable(draft, draft.cause.actor, "handoff")
    elif not item.replies:
        draft.accepted("The bot had nothing to say.")


def failed(draft: Draft, item: BotFailed) -> None:
    """A failure that comes after a takeover is dropped like a reply: nobody is needed any more."""
    if not _dropped(draft, item.epoch):
        draft.event(BotFailure(epoch=item.epoch, reason=item.reason))


def _dropped(draft: Draft, epoch: int) -> bool:
    if draft.state.bot_enabled and draft.state.bot_epoch == epoch:
        return False
    why: Literal["BOT_DISABLED", "STALE_EPOCH"] = "STALE_EPOCH" if draft.state.bot_enabled else "BOT_DISABLED"
    draft.event(BotReplyDropped(epoch=epoch, reason=why))
    draft.count("bot_reply_stale")
    return True
