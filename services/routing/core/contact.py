"""Rules about the contact: who changed a field last, and whose word counts. Knows no conversation."""

from collections.abc import Mapping
from typing import get_args

from services.routing.core.decision import Draft
from services.routing.core.state import ContactField
from shared.contracts.events import ContactCreated, ContactUpdated
from shared.contracts.inbound import Sender
from shared.contracts.outbound import ContactRecord
from shared.contracts.resources import Contact, Identity

FIELDS: tuple[ContactField, ...] = get_args(ContactField)
Values = Mapping[ContactField, str | None]


def create(draft: Draft, ident: str, channel_id: str, sender: Sender) -> None:
    contact = Contact(
        id=ident,
        channel_id=channel_id,
        external_id=sender.id,
        identities=(Identity(channel_id=channel_id, external_id=sender.id),),
        first_name=sender.first_name,
        last_name=sender.last_name,
        name=_shown_name(sender.name, sender.first_name, sender.last_name),
        email=sender.email,
        country=sender.country,
        version=draft.next_seq,  # 1; after an erasure more than any version before it
    )
    draft.event(ContactCreated(contact=contact))
    draft.book(given_name=sender.name)
    _publish(draft)


def update_from_channel(draft: Draft, sender: Sender) -> None:
    """Non-null fields that differ, unless an agent has set them."""
    by_agent = draft.state.book.by_agent
    values: dict[ContactField, str | None] = {}
    for name in FIELDS:
        value: str | None = getattr(sender, name)
        if value is not None and name not in by_agent:
            values[name] = value
    _update(draft, values)


def update_by_agent(draft: Draft, values: Values) -> None:
    """The named fields, null clears; they are the agent's from here on, also those that had this value already."""
    by_agent = draft.state.book.by_agent
    if not by_agent.issuperset(values):
        draft.book(by_agent=by_agent.union(values))
    _update(draft, values)


def _update(draft: Draft, values: Values) -> None:
    given = _given(draft)
    changed = {name: value for name, value in values.items() if value != given[name]}
    if not changed:
        return
    if "name" in changed:
        draft.book(given_name=changed["name"])
    shown = _shown(draft.contact, given | changed)
    if shown != draft.contact:
        draft.event(ContactUpdated(contact=shown.model_copy(update={"version": shown.version + 1})))
        _publish(draft)


def _given(draft: Draft) -> dict[ContactField, str | None]:
    contact = draft.contact
    return {
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "name": draft.state.book.given_name,
        "email": contact.email,
        "country": contact.country,
    }


def _shown(contact: Contact, given: Values) -> Contact:
    name = _shown_name(given["name"], given["first_name"], given["last_name"])
    return contact.model_copy(update={**{str(field): value for field, value in given.items()}, "name": name})


def _shown_name(given: str | None, first: str | None, last: str | None) -> str | None:
    return given or " ".join(part for part in (first, last) if part) or None


def _publish(draft: Draft) -> None:
    state = draft.state
    draft.effect(ContactRecord(workspace=state.workspace, conversation_id=state.id, contact=draft.contact))
