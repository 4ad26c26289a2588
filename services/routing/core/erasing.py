"""The rule of erasure: what a conversation was is forgotten, its order goes on.

`seq`, the bot's epoch and the versions of the contact never go back: whatever is still under way of the time before
stays recognizable as old, and no id is ever used twice.
"""

from services.routing.core.decision import ContactTombstone, Draft
from shared.contracts.commands import EraseContact
from shared.contracts.events import ContactErased
from shared.contracts.outbound import EraseConversation


def erase(draft: Draft, item: EraseContact) -> None:
    state, seq = draft.state, draft.next_seq
    if item.expected_seq is not None and state.seq > item.expected_seq:
        draft.rejected("CONFLICT", "Something has happened in the conversation since.")
        return
    contact = draft.contact
    draft.effect(EraseConversation(workspace=state.workspace, conversation_id=state.id, up_to_seq=seq))
    draft.effect(ContactTombstone(state.workspace, contact.id))
    draft.event(ContactErased(contact_id=contact.id, by=draft.cause.actor, reason=item.reason))
