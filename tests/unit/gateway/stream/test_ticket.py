from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.stream.ticket import Pass, TicketRefused, Tickets

ANN = Pass("acme", "ann", "agent", expires_at=90_000.0)
nonces = (str(number) for number in count())


def refusal(tickets: Tickets, text: str, now: float = 1_000.0) -> str:
    with pytest.raises(TicketRefused) as refused:
        tickets.redeem(text, now)
    return str(refused.value)


def issued(now: float = 1_000.0, key: bytes = b"key", holder: Pass = ANN) -> str:
    return Tickets(key).issue(holder, now, next(nonces))


def test_a_ticket_lets_its_holder_in() -> None:
    assert Tickets(b"key").redeem(issued(), 1_001.0) == ANN


def test_a_ticket_is_good_for_one_connection() -> None:
    tickets, text = Tickets(b"key"), issued()
    tickets.redeem(text, 1_001.0)
    assert refusal(tickets, text, 1_002.0) == "used"


def test_a_ticket_lasts_thirty_seconds() -> None:
    assert Tickets(b"key").redeem(issued(), 1_030.0) == ANN
    assert refusal(Tickets(b"key"), issued(), 1_030.1) == "expired"


def test_a_ticket_of_another_key_is_forged() -> None:
    assert refusal(Tickets(b"key"), issued(key=b"another")) == "forged"


@given(st.text(max_size=300))
def test_any_text_is_refused_and_nothing_else_is_raised(text: str) -> None:
    assert refusal(Tickets(b"key"), text) in ("unreadable", "forged")


def test_tickets_of_a_refused_member_are_worth_nothing_but_later_ones_are() -> None:
    tickets = Tickets(b"key")
    before, of_another = issued(1_000.0), issued(1_000.0, holder=Pass("acme", "bob", "agent", 90_000.0))
    tickets.refuse("acme", "ann", 1_001.0)
    assert refusal(tickets, before, 1_002.0) == "member refused"
    assert tickets.redeem(of_another, 1_002.0).member_id == "bob"
    assert tickets.redeem(issued(1_003.0), 1_003.0) == ANN


def test_what_is_remembered_is_forgotten_after_a_while() -> None:
    tickets = Tickets(b"key")
    for second in range(1_000):
        tickets.redeem(issued(float(second)), float(second))
        tickets.refuse("acme", f"member-{second}", float(second))
    assert len(tickets._used) < 100
    assert len(tickets._refused) < 100


def test_a_ticket_of_another_accepted_key_is_good_once() -> None:
    tickets, text = Tickets(b"new", accepted=(b"key",)), issued()
    assert tickets.redeem(text, 1_001.0) == ANN
    assert refusal(tickets, text) == "used"
    assert refusal(Tickets(b"new", accepted=(b"another",)), issued()) == "forged"
