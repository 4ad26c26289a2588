"""A contact is erased: the rule, the records, and what it does to a lane at work."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dispatch.core.delivery import CONTACT_ERASED, Delivery, End
from services.dispatch.core.erasing import NOBODY, as_it_may_be_kept, erased
from services.dispatch.core.intervention import Refused
from services.dispatch.core.outcome import Failed, Lost, Outcome, Retry, Sent
from services.dispatch.handlers import OutboundIntake
from shared.contracts.shape import Shape
from shared.runtime.metrics import Metrics
from shared.runtime.records import Outgoing
from tests.unit.dispatch.builders import (
    CONVERSATION,
    NOW,
    OTHER_CONVERSATION,
    PERSONAL,
    PHONE,
    SteppingClock,
    bot_message,
    claim,
    delivery,
    erase,
    message,
    personal,
)
from tests.unit.dispatch.memory import Crash, MemoryDeliveries, MemoryErasures, Steps
from tests.unit.dispatch.office import Office
from tests.unit.dispatch.test_handlers import LANE, Desk, batch
from tests.unit.dispatch.test_intervention import reaching

LATER = NOW + timedelta(minutes=3)
GONE = End("failed", LATER, error=CONTACT_ERASED)
HEAD = delivery(personal(), attempt=2, trouble=f"HTTP 503 says: {PHONE}")
STATES = {
    "waiting": HEAD,
    "attempting": HEAD.claimed(claim()),
    "sent": HEAD.ended(End("sent", NOW, f"wamid.{PHONE}")),
    "failed": HEAD.ended(End("failed", NOW, error=f"ADAPTER_REFUSED: HTTP 410 says: no {PHONE}")),
    "unknown": HEAD.ended(End("unknown", NOW, error="RESULT_UNKNOWN: timed out")),
}


def bare(kept: object) -> bool:
    return not [word for word in PERSONAL if word in repr(kept)]


@pytest.mark.parametrize("state", STATES)
def test_of_an_erased_delivery_a_skeleton_is_left_that_is_still_the_same_delivery(state: str) -> None:
    before = STATES[state]
    after = erased(before, LATER)
    assert not bare(before) and bare(after) and after.erased
    assert (after.ident, after.lane, after.attempt) == (before.ident, before.lane, before.attempt)
    assert erased(after, LATER + timedelta(days=1)) is after


@pytest.mark.parametrize("state", ["waiting", "attempting"])
def test_what_was_open_has_failed_because_its_contact_was_erased(state: str) -> None:
    after = erased(STATES[state], LATER)
    assert (after.state, after.end, after.claim) == ("failed", GONE, None)


def test_what_had_ended_keeps_its_end_and_its_time_but_only_the_code_of_an_error() -> None:
    assert erased(STATES["sent"], LATER).end == End("sent", NOW)
    assert erased(STATES["failed"], LATER).end == End("failed", NOW, error="ADAPTER_REFUSED")
    assert erased(STATES["unknown"], LATER).end == End("unknown", NOW, error="RESULT_UNKNOWN")


def test_what_comes_in_is_kept_as_it_is_behind_the_seq_alone() -> None:
    came = delivery(personal(7))
    assert as_it_may_be_kept(came, {LANE: 7}, LATER) == erased(came, LATER)
    for erasures in ({}, {LANE: 6}, {f"acme:{OTHER_CONVERSATION}": 9}):
        assert as_it_may_be_kept(came, erasures, LATER) is came


def ended(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("relaydesk_deliveries_ended_total", {"outcome": "erased"}) or 0.0


async def test_an_erasure_ends_what_is_open_up_to_its_seq_and_counts_it_once() -> None:
    desk = Desk()
    other = message(4, conversation_id=OTHER_CONVERSATION)
    await desk.handle(personal(4), personal(5), message(7), other)
    desk.clock.move(180)
    for _ in range(2):
        await desk.handle(erase(6))
    rows = list(desk.store.rows.values())
    assert [row.end for row in rows] == [GONE, GONE, None, None] and all(bare(row) for row in rows[:2])
    assert rows[2:] == [delivery(message(7)), delivery(other)]
    assert ended(desk.metrics) == 2 and desk.woken == 3


async def test_what_had_a_report_to_tell_tells_it_no_more() -> None:
    office = Office()
    office.reports.away = True
    office.customer.reactions[personal().message_id] = [Sent(f"wamid.{PHONE}")]
    await office.queue(personal())
    await office.life()
    assert office.store.pending
    await erasing(office, 8)
    assert not office.store.pending and bare(office.store.rows)
    office.reports.away = False
    await office.life()
    assert office.reported() == {}


async def test_a_lane_in_backoff_looks_at_its_next_head_at_once_unhurried() -> None:
    desk = Desk()
    await desk.handle(message(4), message(7))
    turn = desk.lanes.take(desk.clock.now())
    assert turn is not None
    desk.lanes.give_back(turn.lane, desk.clock.now().replace(hour=23), desk.clock.now())
    await desk.handle(erase(6))
    turn = desk.lanes.take(desk.clock.now())
    assert turn is not None and turn.lane.key == LANE and not turn.hurried


async def test_an_erasure_alone_opens_no_lane() -> None:
    desk = Desk()
    await desk.handle(erase(6))
    assert len(desk.lanes) == 0 and not desk.store.rows


@pytest.mark.parametrize("order", [lambda *records: records, lambda *records: records[::-1]])
async def test_what_comes_with_its_erasure_is_never_open(order: Callable[..., Sequence[Shape]]) -> None:
    desk = Desk()
    desk.store.steps = Steps()
    desk.store.steps.crash_at = 2  # stored, and nothing more
    with pytest.raises(Crash):
        await desk.handle(*order(personal(4), erase(6), message(7)))
    assert {row.record.seq: row.state for row in desk.store.rows.values()} == {4: "failed", 7: "waiting"}
    assert bare(desk.store.rows[f"acme:{personal(4).message_id}"])


async def test_a_message_that_comes_back_after_its_skeleton_is_gone_is_not_opened() -> None:
    desk = Desk()
    await desk.handle(personal(4), erase(6))
    desk.store.rows.clear()
    await desk.handle(personal(4), message(7))
    await desk.handle(personal(4))
    assert {row.record.seq: row.state for row in desk.store.rows.values()} == {4: "failed", 7: "waiting"}
    assert bare(desk.store.rows[f"acme:{personal(4).message_id}"]) and ended(desk.metrics) == 2


async def test_a_zombies_insert_after_the_erasure_changes_nothing() -> None:
    desk = Desk()
    await desk.handle(personal(4), erase(6))
    kept = dict(desk.store.rows)
    assert not await desk.store.add([delivery(personal(4))], {})
    assert desk.store.rows == kept and await desk.store.head(LANE, 3) is None


MESSAGES = {record.seq: record for record in (personal(4), bot_message(5), message(7), personal(8), message(10))}
RECORDS: list[Shape] = [MESSAGES[4], MESSAGES[5], erase(6), MESSAGES[7], MESSAGES[8], erase(9), MESSAGES[10]]
CUTS = st.sets(st.integers(1, len(RECORDS) - 1))


class Haunted(Steps):
    """At some steps a zombie inserts some messages that it read long ago, open as they were."""

    def __init__(self, store: MemoryDeliveries, inserts: Mapping[int, set[int]], crash_at: int | None) -> None:
        super().__init__(crash_at)
        self._store, self._inserts = store, inserts

    def step(self, name: str) -> None:
        super().step(name)
        for seq in self._inserts.get(self.count, ()):
            row = delivery(MESSAGES[seq])
            self._store.rows.setdefault(row.ident, row)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(CUTS, st.integers(1, 16)), max_size=5),
    st.dictionaries(st.integers(1, 16), st.sets(st.sampled_from(list(MESSAGES)))),
)
async def test_any_batches_deaths_and_zombies_come_to_the_same(
    lives: list[tuple[set[int], int]], inserts: dict[int, set[int]]
) -> None:
    """Deaths between any two steps; what wasn't committed comes again, in other batches."""
    store, erasures, committed = MemoryDeliveries(), MemoryErasures(), 0
    intake = OutboundIntake(store, erasures, SteppingClock(LATER), Metrics())
    for cuts, crash_at in [*lives, ({1, 2}, None)]:
        store.steps = erasures.steps = Haunted(store, inserts, crash_at)
        bounds = sorted({cut for cut in cuts if cut > committed} | {committed, len(RECORDS)})
        with suppress(Crash):
            for start, end in pairwise(bounds):
                await intake.add(batch(RECORDS[start:end]).records)
                committed = end
    gone = {row.record.seq: row.end == GONE and bare(row) for row in store.rows.values()}
    assert gone == {4: True, 5: True, 7: True, 8: True, 10: False}
    assert erasures.kept == {LANE: 9} and not store.pending


async def erasing(office: Office, up_to_seq: int) -> None:
    """As the handler does it."""
    await office.store.erase(LANE, up_to_seq, office.clock.now())
    office.lanes.erase(LANE, up_to_seq, office.clock.now())


class Interrupted(Office):
    """The contact is erased up to message 7 when its message has gone that far."""

    def __init__(self, when: str, idempotent: bool = True) -> None:
        super().__init__(idempotent)
        setattr(self.customer, when, self._erase)

    def _erase(self) -> None:
        """At once, since the hooks can't wait."""
        for ident, row in self.store.rows.items():
            if row.record.seq <= 7:
                self.store.rows[ident] = erased(row, self.clock.now())
                self.store.pending.pop(ident, None)
        self.lanes.erase(LANE, 7, self.clock.now())


async def test_what_is_erased_before_its_first_byte_is_not_handed_over() -> None:
    office = Interrupted("on_connect")
    await office.queue(personal(), message(9))
    await office.life()
    assert office.customer.arrivals == [message(9).message_id]
    row = office.store.rows[HEAD.ident]
    assert row.end == End("failed", NOW, error=CONTACT_ERASED) and bare(row)
    assert list(office.reported()) == [message(9).message_id] and office.clock.now() == NOW


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize(
    "outcome",
    [
        Sent(f"wamid.{PHONE}"),
        Failed("ADAPTER_REFUSED", f"HTTP 410 says: no {PHONE}"),
        Retry(f"HTTP 503 says: {PHONE}", 3600),
        Lost(f"says: {PHONE}"),
    ],
)
async def test_an_attempt_under_way_brings_nothing_back_and_is_not_repeated(outcome: Outcome, idempotent: bool) -> None:
    office = Interrupted("on_arrival", idempotent)
    office.customer.reactions[personal().message_id] = [outcome]
    await office.queue(personal(), message(9))
    await office.life()
    row = office.store.rows[HEAD.ident]
    assert row.end == End("failed", NOW, error=CONTACT_ERASED) and bare(row) and row.record.to == NOBODY
    assert office.customer.arrivals == [personal().message_id, message(9).message_id]
    assert list(office.reported()) == [message(9).message_id] and not office.store.pending
    assert office.clock.now() == NOW, "the next message waits for nothing"


async def test_a_claim_planned_before_the_erasure_is_not_made() -> None:
    office = Office()
    await office.queue(personal(), message(9))
    assert await office.store.erase(LANE, 7, NOW) == 1
    seen = delivery(personal())
    assert not await office.store.swap(seen, seen.claimed(claim()))
    await office.life()
    assert office.customer.arrivals == [message(9).message_id]


@pytest.mark.parametrize("crash_at", range(1, 12))
async def test_an_erasure_after_a_death_at_any_step_lets_nothing_follow(crash_at: int) -> None:
    office = Office()
    await office.queue(personal(), message(9))
    await office.life(crash_at)
    arrived = len(office.customer.arrivals)
    told = list(office.reports.published)
    await erasing(office, 8)
    await office.life()
    assert office.customer.arrivals[arrived:] == [message(9).message_id]
    assert bare(office.store.rows[HEAD.ident]) and not office.store.pending
    assert len(office.reports.published) == len(told) + 1, "the next message's"


@pytest.mark.parametrize("verb", ["retry", "cancel"])
async def test_a_member_can_neither_retry_nor_cancel_what_was_erased(verb: str) -> None:
    office = Office()
    await office.queue(personal())
    await erasing(office, 7)
    with pytest.raises(Refused, match="DELIVERY_ENDED"):
        await getattr(reaching(office), verb)("acme", personal().message_id)
    assert office.reported() == {}


@pytest.mark.parametrize("verb", ["retry", "cancel"])
async def test_a_member_who_is_slower_than_the_erasure_changes_nothing(verb: str) -> None:
    office = Office()
    await office.queue(personal())
    swap = office.store.swap

    async def erased_first(seen: Delivery, after: Delivery, report: Outgoing | None = None) -> bool:
        await erasing(office, 7)
        return await swap(seen, after, report)

    office.store.swap = erased_first  # type: ignore[method-assign]
    with pytest.raises(Refused, match="DELIVERY_ENDED"):
        await getattr(reaching(office), verb)("acme", personal().message_id)
    assert bare(office.store.rows) and office.reported() == {} and not office.store.pending


async def test_a_new_contact_of_the_conversation_is_served_from_its_first_message() -> None:
    office = Office()
    office.customer.reactions[personal().message_id] = [Retry("HTTP 503", 3600)]
    await office.queue(personal(), message(9), bot_message(10, epoch=3))
    await office.life(within=timedelta(0))
    await erasing(office, 8)
    await office.life(within=timedelta(0))
    assert office.customer.arrivals == [message(seq).message_id for seq in (7, 9, 10)]
    assert [row.state for row in office.store.rows.values()] == ["failed", "sent", "sent"]
    assert CONVERSATION in office.store.rows[HEAD.ident].ident
