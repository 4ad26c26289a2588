"""Rules for what an agent asks for. Each rule leaves exactly one outcome: events, or one acceptance or rejection."""

from services.routing.core import bot, contact
from services.routing.core.decision import Draft, Illegal
from services.routing.core.sending import Words, compose, send
from shared.contracts.commands import Actor, AddNote, Assign, SendReply, UpdateContact
from shared.contracts.events import ConversationAssigned, ConversationClosed, ConversationReopened, NoteAdded
from shared.contracts.resources import Author


def reply(draft: Draft, item: SendReply) -> None:
    """Disabling the bot, reopening, claiming and sending are one decision: all of it or nothing."""
    state, author = draft.state, _author(item.actor)
    if not item.text and not item.attachments:
        draft.rejected("INVALID", "A reply needs a text or an attachment.")
    elif state.bot_enabled and not item.disable_bot:
        draft.rejected("BOT_ACTIVE", "The chatbot is answering.")
    elif missed := _missed(draft, item):
        draft.rejected("STALE_VIEW", "A colleague answered meanwhile.", missed)
    else:
        _send(draft, item, author)


def note(draft: Draft, item: AddNote) -> None:
    author = _author(item.actor)
    if not item.text:
        draft.rejected("INVALID", "A note needs a text.")
        return
    draft.event(NoteAdded(message=compose(draft, Words(author, item.accepted_at, item.text), status=None)))


def assign(draft: Draft, item: Assign) -> None:
    state, seen = draft.state, item.expected_version
    if seen is not None and state.assigned_seq > seen:
        draft.rejected("CONFLICT", "It was assigned meanwhile.")
    elif state.assignee == item.assignee and not (state.needs_human and item.assignee):
        draft.accepted("It is assigned so already.")
    else:
        by, before = draft.cause.actor, state.assignee
        draft.event(ConversationAssigned(assignee=item.assignee, previous=before, by=by, reason="manual"))


def close(draft: Draft) -> None:
    if draft.state.status == "closed" and not draft.state.needs_human:
        draft.accepted("It is closed already.")
    else:
        draft.event(ConversationClosed(by=draft.cause.actor))


def reopen(draft: Draft) -> None:
    if draft.state.status == "open":
        draft.accepted("It is open already.")
    else:
        draft.event(ConversationReopened(by=draft.cause.actor))


def update_contact(draft: Draft, item: UpdateContact) -> None:
    before = draft.next_seq
    contact.update_by_agent(draft, item.fields)
    if draft.next_seq == before:
        draft.accepted("The contact is so already.")


def _send(draft: Draft, item: SendReply, author: Author) -> None:
    by = draft.cause.actor
    if draft.state.bot_enabled:
        bot.disable(draft, by, "reply")
    elif item.disable_bot:
        bot.silence(draft)
    if draft.state.status == "closed":
        draft.event(ConversationReopened(by=by))
    if draft.state.assignee is None:
        draft.event(ConversationAssigned(assignee=author.id, previous=None, by=by, reason="first_reply"))
    send(draft, Words(author, item.accepted_at, item.text, item.attachments))


def _missed(draft: Draft, item: SendReply) -> tuple[int, ...]:
    """Seqs of other agents' messages that the author had not seen."""
    seen = item.last_seen_seq
    if seen is None or item.force:
        return ()
    return tuple(one.seq for one in draft.state.answers if one.seq > seen and one.member != item.actor.id)


def _author(actor: Actor) -> Author:
    if actor.kind != "agent" or actor.id is None:
        raise Illegal("ACTOR", f"only an agent can write this, not {actor.tag}")
    return Author(kind="agent", id=actor.id, name=actor.name)
