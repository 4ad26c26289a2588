"""The table of DESIGN 6: what became of our messages."""

from dataclasses import replace

import pytest

from services.routing.core import Decision, Illegal, State
from services.routing.core.state import PARKED_LIMIT, SENT_LIMIT, Delivery, Sent
from shared.contracts.events import MessageStatusChanged
from shared.contracts.inbound import Inbound
from tests.unit.routing.build import after, delivery, enable, kinds, message, receipt, reply, tell

SENT = after(message(), reply())
SEQ = 5


def statuses(decision: Decision) -> list[str]:
    return [event.data.status for event in decision.events if isinstance(event.data, MessageStatusChanged)]


def walk(state: State, *items: Inbound) -> list[str]:
    found: list[str] = []
    for item in items:
        decision = tell(state, item)
        found += statuses(decision)
        assert decision.state is not None
        state = decision.state
    return found


def test_a_status_rises_and_never_falls() -> None:
    told: list[Inbound] = [
        receipt(status, status, SEQ) for status in ("delivered", "sent", "read", "delivered", "played", "failed")
    ]
    assert walk(SENT, *told) == ["delivered", "read", "played"]


def test_a_provider_may_refuse_what_it_accepted_and_an_arrival_proves_a_failure_wrong() -> None:
    told: list[Inbound] = [
        delivery(SEQ, "sent"),
        receipt("f", "failed", SEQ, error="131026"),
        receipt("d", "delivered", SEQ),
    ]
    assert walk(SENT, *told) == ["sent", "failed", "delivered"]


def test_the_error_is_told() -> None:
    data = tell(SENT, delivery(SEQ, "failed", error="BOT_SILENCED")).events[0].data
    assert isinstance(data, MessageStatusChanged)
    assert (data.error, data.message_id) == ("BOT_SILENCED", f"{SENT.id}-5")


def test_a_report_of_a_known_attempt_does_not_undo_what_came_after_it() -> None:
    told: list[Inbound] = [
        delivery(SEQ, "sent"),
        receipt("f", "failed", SEQ),
        delivery(SEQ, "sent"),
    ]
    assert walk(SENT, *told) == ["sent", "failed"]
    assert walk(SENT, *told, delivery(SEQ, "sent", attempt=2)) == ["sent", "failed", "sent"]


def test_a_receipt_by_provider_id_waits_until_the_id_arrives() -> None:
    early = receipt("r", "read", provider_message_id="p1")
    parked = tell(SENT, early)
    assert parked.events == ()
    joined = tell(parked.state, delivery(SEQ, "sent", provider_message_id="p1"))
    assert statuses(joined) == ["sent", "read"]
    assert joined.state is not None
    assert joined.state.book.parked == ()
    assert walk(joined.state, receipt("p", "played", provider_message_id="p1")) == ["played"]


def test_a_parked_receipt_that_comes_again_is_kept_once() -> None:
    early = [receipt(name, "read", provider_message_id="p1") for name in ("r1", "r2")]
    assert len(after(*early, state=SENT).book.parked) == 1


def test_parked_receipts_are_bounded_and_what_falls_off_is_counted() -> None:
    state = after(*(receipt(f"r{n}", "read", provider_message_id=f"p{n}") for n in range(PARKED_LIMIT)), state=SENT)
    decision = tell(state, receipt("one more", "read", provider_message_id="more"))
    assert decision.counted == ("receipt_forgotten",)
    assert decision.state is not None
    assert [one.provider_id for one in decision.state.book.parked][:: PARKED_LIMIT - 1] == ["p1", "more"]


def test_statuses_and_provider_ids_are_bounded_and_what_falls_off_is_counted() -> None:
    deliveries = tuple(Delivery(n, 1, f"p{n}") for n in range(SENT_LIMIT))
    sent = tuple(Sent(n, "sent") for n in range(6, 6 + SENT_LIMIT))
    full = _with(SENT, seq=6 + SENT_LIMIT, sent=sent, deliveries=deliveries)
    more = tell(full, reply("one more"))
    assert more.counted == ("status_forgotten",)
    assert more.state is not None
    assert len(more.state.sent) == SENT_LIMIT
    assert tell(more.state, receipt("r", "read", 6)).counted == ("receipt_unknown",)
    reported = tell(full, delivery(6 + SENT_LIMIT - 1, "sent", provider_message_id="new"))
    assert reported.counted == ("id_forgotten",)


def _with(state: State, seq: int, sent: tuple[Sent, ...], deliveries: tuple[Delivery, ...]) -> State:
    return replace(state, seq=seq, sent=sent, book=replace(state.book, deliveries=deliveries))


@pytest.mark.parametrize("seq", [3, 99])
def test_a_receipt_for_what_is_no_message_of_ours_changes_nothing_and_is_counted(seq: int) -> None:
    for item in (receipt("r", "read", seq), delivery(seq, "sent")):
        decision = tell(SENT, item)
        assert (decision.events, decision.counted, decision.state) == ((), ("receipt_unknown",), SENT)


def test_a_receipt_names_exactly_one_message() -> None:
    for item in (receipt("r", "read"), receipt("r", "read", SEQ, provider_message_id="p1")):
        with pytest.raises(Illegal) as refused:
            tell(SENT, item)
        assert refused.value.reason == "MALFORMED"


def test_a_receipt_says_too_that_the_bot_is_gone_but_dispatch_does_not() -> None:
    state = after(message("m2", bot_kind="webhook"), state=None)
    sent = after(reply(disable_bot=True), state=state)
    on = after(enable(), state=sent)
    assert kinds(tell(on, receipt("r", "read", 6))) == ["bot.disabled", "message.status_changed"]
    assert kinds(tell(on, delivery(6, "sent"))) == ["message.status_changed"]
