"""What routing has asked of others about a message: whether the log has what stands behind it. Pure.

An order names a message, and so a seq. Where its topic has it and the log of events ends before that seq, a decision
was made and lost: it has to be made again, so that its seqs mean what they meant and nothing is asked for twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from services.routing import memory
from services.routing.core import ContactTombstone, Decision, Illegal, State, decide
from services.routing.documents import Arrival
from services.routing.memory import Remembered
from shared.contracts.ids import split_message_id
from shared.contracts.outbound import (
    BotFence,
    BotRequest,
    ContactRecord,
    DeliverMessage,
    EraseConversation,
    FetchMedia,
    MediaReferenced,
)
from shared.contracts.wire import encode

Order = DeliverMessage | BotRequest | FetchMedia | MediaReferenced | EraseConversation
Asked = Order | BotFence | ContactRecord
Known = Mapping[str, Remembered]
TRIES = 10_000


class Unexplained(Exception):
    """No order of the inputs that are left leads to what was asked of others."""


@dataclass(frozen=True, slots=True)
class Step:
    """An input that is decided, at which time, and what came of it."""

    arrival: Arrival
    now: str
    decision: Decision


def seq_of(order: Order) -> int:
    match order:
        case DeliverMessage():
            return order.seq
        case BotRequest():
            return order.message.seq
        case EraseConversation():
            return order.up_to_seq
        case _:
            return split_message_id(order.message_id)[1]


def behind(orders: Sequence[Order], state: State | None) -> list[Order]:
    """Those about messages that the state doesn't have yet."""
    seq = state.seq if state else 0
    return [order for order in orders if seq_of(order) > seq]


def explained(
    state: State | None, known: Known, left: Sequence[Sequence[Arrival]], orders: Sequence[Order]
) -> tuple[Step, ...]:
    """The inputs, each topic's in its order, after which nothing of `orders` lies behind the state any more, and every
    one of them was asked for by the way. Raises Unexplained."""
    search = _Search(orders)
    found = search.go(state, known, left)
    if found is None:
        raise Unexplained(f"{len(behind(orders, state))} records of others have no event, and the inputs don't say why")
    return found


@dataclass(slots=True)
class _Search:
    orders: Sequence[Order]
    tries: int = TRIES

    def go(self, state: State | None, known: Known, left: Sequence[Sequence[Arrival]]) -> tuple[Step, ...] | None:
        missing = behind(self.orders, state)
        if not missing:
            return ()
        for step, rest in self._steps(state, known, left, _time_of(min(missing, key=seq_of))):
            after = step.decision.state
            if not self._fits(missing, step.decision):
                continue
            tail = self.go(after, _with(known, step), rest)
            if tail is not None:
                return (step, *tail)
        return None

    def _steps(
        self, state: State | None, known: Known, left: Sequence[Sequence[Arrival]], now: str | None
    ) -> Iterator[tuple[Step, Sequence[Sequence[Arrival]]]]:
        for number, waiting in enumerate(left):
            if not waiting or not self.tries:
                continue
            self.tries -= 1
            first, rest = waiting[0], [*left[:number], waiting[1:], *left[number + 1 :]]
            at = now or first.item.accepted_at
            try:
                decision = decide(state, cast(Any, first.item), at, memory.known(first.key, first.item, known))
            except Illegal:  # it will be put aside by routing, as it would have been before
                decision = Decision(state)
            yield Step(first, at, decision), rest

    def _fits(self, missing: Sequence[Order], decision: Decision) -> bool:
        """Every order about a message up to the new state was asked for by this decision."""
        asked = {_timeless(effect) for effect in decision.effects if not isinstance(effect, ContactTombstone)}
        later = {_timeless(order) for order in behind(missing, decision.state)}
        return all(shape in asked for order in missing if (shape := _timeless(order)) not in later)


def _with(known: Known, step: Step) -> Known:
    item, key = step.arrival.item, step.arrival.key
    new = memory.to_remember(key, item, step.decision, memory.known(key, item, known))
    return known if new is None else {**known, new.key: new}


def _time_of(order: Order) -> str | None:
    match order:
        case DeliverMessage():
            return order.queued_at
        case BotRequest() | FetchMedia():
            return order.requested_at
        case _:
            return None


def _timeless(effect: Asked) -> bytes:
    """The time of a decision is not what it says."""
    match effect:
        case DeliverMessage():
            return encode(effect.model_copy(update={"queued_at": ""}))
        case BotRequest() | FetchMedia():
            return encode(effect.model_copy(update={"requested_at": ""}))
        case _:
            return encode(effect)
