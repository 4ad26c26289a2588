"""Members reach in: the rules, and what they do to a lane at work."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatch.core.delivery import Delivery, End, Ending
from services.dispatch.core.intervention import Refused, cancelled, retried
from services.dispatch.core.outcome import Retry, Sent
from services.dispatch.core.plan import Attempt, Finish, plan, settled
from services.dispatch.interventions import FrontDesk, Interventions, RegularLook
from shared.contracts.statuses import raised
from shared.runtime.metrics import Metrics
from shared.runtime.records import Outgoing
from tests.unit.dispatch.builders import NOW, bot_message, channel, claim, delivery, message, sight
from tests.unit.dispatch.memory import MemoryDeliveries
from tests.unit.dispatch.office import Office

LATER = NOW + timedelta(minutes=3)
FAR = NOW + timedelta(hours=1)
Rule = Callable[[Delivery, datetime], Delivery]


def test_a_retry_makes_it_due_and_its_backoff_begins_anew() -> None:
    waiting = delivery(attempt=9, next_at=FAR, trouble="HTTP 503")
    again = retried(waiting, LATER)
    assert (again.next_at, again.attempt, again.trouble) == (LATER, 9, "HTTP 503")
    planned = plan(again, sight(now=LATER))
    assert isinstance(planned, Attempt) and planned.after.attempt == 10
    after = settled(planned.after, Retry("HTTP 503"), sight(now=LATER), jitter=0.0)
    assert after.next_at - LATER == timedelta(seconds=1), "as after the first attempt"
    last = settled(after.claimed(claim()), Retry("HTTP 503"), sight(now=LATER), jitter=0.0)
    assert last.next_at - LATER == timedelta(seconds=2)


def test_a_silenced_bots_message_is_not_revived_by_a_retry() -> None:
    again = retried(delivery(bot_message(epoch=0), attempt=2, next_at=FAR), LATER)
    planned = plan(again, sight(now=LATER, fence=1))
    assert isinstance(planned, Finish) and planned.after.end == End("failed", LATER, error="BOT_SILENCED")


def test_a_retry_does_not_lengthen_a_deliverys_life() -> None:
    tomorrow = NOW + timedelta(hours=25)
    planned = plan(retried(delivery(), tomorrow), sight(now=tomorrow))
    assert isinstance(planned, Finish) and planned.after.state == "failed"


def test_a_cancelled_delivery_has_failed_with_its_own_code() -> None:
    gone = cancelled(delivery(attempt=2, next_at=FAR), LATER)
    assert gone.end == End("failed", LATER, error="CANCELLED")
    assert gone.end.outcome == "cancelled"
    assert cancelled(gone, FAR) is gone
    with pytest.raises(Refused, match="DELIVERY_ENDED"):
        retried(gone, FAR)


def test_what_is_handed_over_is_neither_hastened_nor_cancelled() -> None:
    attempting = delivery().claimed(claim())
    assert retried(attempting, LATER) is attempting
    with pytest.raises(Refused, match="DELIVERY_UNDER_WAY"):
        cancelled(attempting, LATER)


@pytest.mark.parametrize("rule", [retried, cancelled])
@pytest.mark.parametrize("state", ["sent", "failed", "unknown"])
def test_an_end_is_final(rule: Rule, state: Ending) -> None:
    with pytest.raises(Refused, match="DELIVERY_ENDED"):
        rule(delivery().ended(End(state, NOW, error="ADAPTER_REFUSED")), LATER)


def test_a_cancelled_messages_status_is_failed_until_something_proves_its_arrival() -> None:
    assert raised("queued", "failed") == "failed"
    assert raised("failed", "delivered") == "delivered"


class Counterpart:
    """A store in memory in which the sender is quicker, as often as it is told."""

    def __init__(self, seen: Delivery, quicker: list[Delivery]) -> None:
        self._store, self._quicker, self._row = MemoryDeliveries(), quicker, seen
        self._store.rows[seen.ident] = seen
        self.swaps = 0

    find = property(lambda self: self._store.find)
    page = property(lambda self: self._store.page)
    nudged = property(lambda self: self._store.nudged)

    async def swap(self, seen: Delivery, after: Delivery, report: Outgoing | None = None) -> bool:
        self.swaps += 1
        if self._quicker:
            self._store.rows[seen.ident] = self._quicker.pop(0)
        return await self._store.swap(seen, after, report)


def reaching(office: Office) -> Interventions:
    def look(lane: str) -> None:
        office.lanes.look(lane, office.clock.now())

    front = FrontDesk(office.store, office.reports, office.channels.get, look, office.clock)
    return Interventions(front, Metrics())


async def test_a_cancel_that_loses_against_the_claim_is_told_so() -> None:
    waiting, office = delivery(), Office()
    book = Counterpart(waiting, [waiting.claimed(claim())])
    front = FrontDesk(book, office.reports, lambda ident: channel(), lambda lane: None, office.clock)
    with pytest.raises(Refused, match="DELIVERY_UNDER_WAY"):
        await Interventions(front, Metrics()).cancel("acme", waiting.record.message_id)
    assert book.swaps == 1 and office.reports.published == []


async def test_a_retry_that_loses_against_the_claim_answers_the_attempt() -> None:
    waiting, office = delivery(), Office()
    book = Counterpart(waiting, [waiting.claimed(claim())])
    front = FrontDesk(book, office.reports, lambda ident: channel(), lambda lane: None, office.clock)
    assert (await Interventions(front, Metrics()).retry("acme", waiting.record.message_id)).state == "attempting"


async def test_a_cancelled_head_lets_the_next_message_go_and_is_reported_once() -> None:
    office = Office()
    first, second = message(7), message(8)
    office.customer.reactions[first.message_id] = [Retry("HTTP 503", 3600)]
    await office.queue(first, second)
    await office.life(within=timedelta(0))
    assert office.customer.shown == [first.message_id]
    reach = reaching(office)
    for _ in range(2):
        await reach.cancel("acme", first.message_id)
    await office.life(within=timedelta(0))
    assert office.customer.arrivals == [first.message_id, second.message_id]
    told = office.reported()
    assert (told[first.message_id].status, told[first.message_id].error) == ("failed", "CANCELLED")
    assert told[second.message_id].status == "sent"
    assert len(office.reports.published) == 2


async def test_of_a_cancel_and_an_end_at_the_same_moment_only_the_stored_one_is_told() -> None:
    office = Office()
    said = bot_message(7)
    await office.queue(said)
    office.store.fences[delivery(said).lane] = 1
    reach, read = reaching(office), office.store.epoch

    async def cancelled_meanwhile(lane: str) -> int:
        await reach.cancel("acme", said.message_id)
        return await read(lane)

    office.store.epoch = cancelled_meanwhile  # type: ignore[method-assign]
    await office.life()
    assert [office.reported()[said.message_id].error] == ["CANCELLED"] and len(office.reports.published) == 1


async def test_an_end_whose_write_was_answered_by_silence_is_told_at_once() -> None:
    office, swap = Office(), MemoryDeliveries.swap
    await office.queue(message(7))

    async def silent(seen: Delivery, after: Delivery, report: Outgoing | None = None) -> bool:
        done = await swap(office.store, seen, after, report)
        if done and after.end is not None:
            raise ConnectionError("the answer was lost")
        return done

    office.store.swap = silent  # type: ignore[method-assign]
    await office.life()
    assert office.reported()[message(7).message_id].status == "sent"


async def test_a_cancel_whose_report_cannot_be_published_stands_and_is_told_later() -> None:
    office = Office()
    await office.queue(message(7))
    office.reports.away = True
    assert (await reaching(office).cancel("acme", message(7).message_id)).state == "failed"
    office.reports.away = False
    await office.life()
    assert office.reported()[message(7).message_id].error == "CANCELLED" and office.customer.arrivals == []


async def test_the_regular_look_finds_what_another_replica_changed() -> None:
    office, looked = Office(), list[str]()
    await office.queue(message(7))
    look = RegularLook(FrontDesk(office.store, office.reports, office.channels.get, looked.append, office.clock))
    await look.look()
    assert looked == []
    await reaching(office).retry("acme", message(7).message_id)
    await look.look()
    assert looked == [delivery().lane]
    office.clock.move(60)
    await look.look()
    assert len(looked) == 1, "and forgets it"


@given(st.lists(st.tuples(st.sampled_from(["retry", "cancel"]), st.integers(7, 9), st.integers(0, 400)), max_size=8))
async def test_whatever_members_do_each_message_ends_once_in_order(asked: list[tuple[str, int, int]]) -> None:
    office = Office()
    records = [message(seq) for seq in (7, 8, 9)]
    for record in records:
        office.customer.reactions[record.message_id] = [Retry("HTTP 503"), Retry("HTTP 503", 600), Sent()]
    await office.queue(*records)
    cancels = set()
    for verb, seq, seconds in asked:
        await office.life(within=timedelta(seconds=seconds))
        try:
            after = await getattr(reaching(office), verb)("acme", message(seq).message_id)
        except Refused:
            continue
        if verb == "cancel":
            cancels.add(after.record.message_id)
    await office.life()
    told = office.reported()
    assert len(told) == 3
    assert {ident for ident, report in told.items() if report.error == "CANCELLED"} == cancels
    assert {ident for ident, report in told.items() if report.status == "sent"} == set(told) - cancels
    seqs = [int(ident.rpartition("-")[2]) for ident in office.customer.shown]
    assert seqs == sorted(seqs)
