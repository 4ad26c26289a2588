"""What routing knows about one conversation. Plain values; knows no rules, no documents, no records.

`State` is the fold of the conversation's events (see `evolve`), but for `book`: what no event says and rules need.
Every tuple here is bounded, by the limits below; what falls off is counted.
"""

from dataclasses import dataclass, field
from typing import Literal

from shared.contracts.inbound import Reported
from shared.contracts.resources import Contact, ConversationStatus, MessageStatus

SENT_LIMIT = 1_000
PARKED_LIMIT = 100
ANSWERS_LIMIT = 100

ContactField = Literal["first_name", "last_name", "name", "email", "country"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An agent's message: who wrote it, for `STALE_VIEW`."""

    seq: int
    member: str


@dataclass(frozen=True, slots=True)
class Sent:
    """The status of an outgoing message."""

    seq: int
    status: MessageStatus


@dataclass(frozen=True, slots=True)
class Delivery:
    """What dispatch reported about an outgoing message: its last attempt, and the id that the provider gave it."""

    seq: int
    attempt: int
    provider_id: str | None


@dataclass(frozen=True, slots=True)
class Parked:
    """A receipt for a provider id that we don't know yet."""

    provider_id: str
    status: Reported
    error: str | None


@dataclass(frozen=True, slots=True)
class Book:
    """What no event says. `given_name`: the name as given; without one the contact shows first + last. `by_agent`: the
    contact's fields that an agent has set, so that the channel no longer changes them."""

    channel_kind: str = ""
    given_name: str | None = None
    by_agent: frozenset[ContactField] = frozenset()
    deliveries: tuple[Delivery, ...] = ()
    parked: tuple[Parked, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """`status` is None for a contact that was seen and never wrote: there is no conversation to act on yet.

    `contact` is None from an erasure on until the customer writes again; `erased_seq`: of the last one.
    """

    workspace: str
    id: str
    seq: int
    contact: Contact | None
    status: ConversationStatus | None = None
    assignee: str | None = None
    assigned_seq: int = 0
    bot_enabled: bool = False
    bot_epoch: int = 0
    needs_human: bool = False
    answers: tuple[Answer, ...] = ()
    sent: tuple[Sent, ...] = ()
    erased_seq: int = 0
    book: Book = field(default_factory=Book)


def with_answer(answers: tuple[Answer, ...], answer: Answer) -> tuple[Answer, ...]:
    """The last `ANSWERS_LIMIT` answers, and of the older ones the newest of each of two members.

    So "has somebody else answered after seq n?" stays exact for every n and every member, however long the thread is:
    of the two, at least one isn't the member who asks, and no forgotten answer is newer than both. Only the list of
    missed seqs can be short of some.
    """
    answers = (*answers, answer)
    if len(answers) <= ANSWERS_LIMIT:
        return answers
    newest: dict[str, Answer] = {}
    for old in reversed(answers[:-ANSWERS_LIMIT]):
        if len(newest) < 2:
            newest.setdefault(old.member, old)
    return (*reversed(newest.values()), *answers[-ANSWERS_LIMIT:])
