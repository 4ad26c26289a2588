from collections.abc import Sequence

import pytest

from services.dispatch.bots.intake import RequestIntake
from services.dispatch.handlers import LaneHandler, OutboundIntake
from services.dispatch.lanes import Lanes, Limits
from shared.contracts.outbound import BotFence
from shared.contracts.shape import Shape
from shared.contracts.wire import encode
from shared.runtime.batches import Batch
from shared.runtime.faults import Poison
from shared.runtime.metrics import Metrics
from shared.runtime.records import Outgoing, Record
from tests.unit.dispatch.builders import CONVERSATION, SteppingClock, bot_message, message, request
from tests.unit.dispatch.memory import MemoryDeliveries, MemoryErasures, MemoryReports, MemoryRequests

LANE = f"acme:{CONVERSATION}"
AT = ("channel.outbound", 3)


class Desk:
    """A handler, its lanes and its store."""

    def __init__(self) -> None:
        self.clock = SteppingClock()
        self.store, self.erasures, self.metrics = MemoryDeliveries(), MemoryErasures(), Metrics()
        self.lanes = Lanes(Limits())
        self.woken = 0
        self.reports = MemoryReports(self.store.pending)
        intake = OutboundIntake(self.store, self.erasures, self.clock, self.metrics)
        self.handler = LaneHandler(intake, self.reports, self.lanes, self._wake, self.clock)

    def _wake(self) -> None:
        self.woken += 1

    async def handle(self, *values: Shape | bytes | None) -> None:
        await self.handler.handle(batch(values))


def batch(values: Sequence[Shape | bytes | None], topic: str = "channel.outbound") -> Batch:
    encoded = [encode(value) if isinstance(value, Shape) else value for value in values]
    records = [Record(topic, 3, offset, b"k", value, {}, 0) for offset, value in enumerate(encoded)]
    return Batch(records, {})


def fence(epoch: int) -> BotFence:
    return BotFence(workspace="acme", conversation_id=CONVERSATION, bot_epoch=epoch)


async def test_messages_are_stored_and_their_lane_gets_a_turn() -> None:
    desk = Desk()
    await desk.handle(message(4), message(5))
    assert [row.record.seq for row in desk.store.rows.values()] == [4, 5]
    turn = desk.lanes.take(desk.clock.now())
    assert turn is not None and turn.lane.key == LANE and turn.lane.partition == AT
    assert desk.woken == 1


async def test_a_redelivered_batch_changes_nothing_that_is_stored() -> None:
    desk = Desk()
    await desk.handle(message(4))
    stored = dict(desk.store.rows)
    desk.clock.move(9)
    await desk.handle(message(4), message(4))
    assert desk.store.rows == stored


async def test_fences_are_kept_and_only_rise() -> None:
    desk = Desk()
    await desk.handle(fence(2), fence(5), fence(3))
    await desk.handle(fence(4))
    assert desk.store.fences == {LANE: 5}


async def test_a_fence_alone_opens_no_lane() -> None:
    desk = Desk()
    await desk.handle(fence(1))
    assert len(desk.lanes) == 0


async def test_a_fence_lets_a_waiting_head_be_looked_at() -> None:
    desk = Desk()
    await desk.handle(bot_message(4))
    turn = desk.lanes.take(desk.clock.now())
    assert turn is not None
    desk.lanes.give_back(turn.lane, desk.clock.now().replace(hour=23), desk.clock.now())
    await desk.handle(fence(1))
    turn = desk.lanes.take(desk.clock.now())
    assert turn is not None and turn.hurried


@pytest.mark.parametrize(
    "garbage", [None, b"", b"{", b"[]", b'{"type":"DeliverMessage"}', b'{"type":"Nonsense"}', b"\xff"]
)
async def test_garbage_is_named_and_nothing_of_the_batch_is_taken_until_it_is_out(garbage: bytes | None) -> None:
    desk = Desk()
    with pytest.raises(Poison) as raised:
        await desk.handle(message(4), garbage)
    assert raised.value.record is not None and raised.value.record.offset == 1
    assert raised.value.reason == "UNDECODABLE" and not desk.store.rows


async def test_a_message_id_of_another_conversation_is_poison() -> None:
    desk = Desk()
    with pytest.raises(Poison, match="MISMATCH"):
        await desk.handle(message(4, message_id=message(5).message_id))


async def test_what_is_open_is_taken_over_with_the_partition_and_left_with_it() -> None:
    desk = Desk()
    await desk.handle(message(4))
    again = Desk()
    again.store.rows = desk.store.rows
    await again.handler.assigned(frozenset({AT, ("channel.outbound", 7)}), {})
    assert len(again.lanes) == 1
    await again.handler.assigned(frozenset({AT}), {})
    assert len(again.lanes) == 1
    await again.handler.revoked(frozenset({AT}))
    assert len(again.lanes) == 0


async def test_an_assignment_begins_anew_with_lanes_of_its_own() -> None:
    desk = Desk()
    await desk.handle(message(4))
    turn = desk.lanes.take(desk.clock.now())
    await desk.handler.assigned(frozenset({AT}), {})
    again = desk.lanes.take(desk.clock.now())
    assert turn is not None and again is not None
    assert not turn.lane.live and again.lane.live and again.lane is not turn.lane


async def test_what_another_owner_left_untold_is_told_at_the_takeover() -> None:
    desk = Desk()
    desk.store.pending["acme:m"] = [Outgoing("channel.inbound", "k", b"{}")]
    await desk.handler.assigned(frozenset({AT}), {})
    assert len(desk.reports.published) == 1 and not desk.store.pending


async def test_other_partitions_lanes_are_not_taken() -> None:
    desk = Desk()
    await desk.handle(message(4))
    again = Desk()
    again.store.rows = desk.store.rows
    await again.handler.assigned(frozenset({("channel.outbound", 7)}), {})
    assert len(again.lanes) == 0


async def test_questions_to_bots_fill_lanes_of_their_own() -> None:
    clock, store, lanes = SteppingClock(), MemoryRequests(), Lanes(Limits())
    handler = LaneHandler(
        RequestIntake(store, MemoryErasures(), clock, Metrics()), MemoryReports({}), lanes, lambda: None, clock
    )
    await handler.handle(batch([request(3).record, request(3).record, request(4).record], "bot.requests"))
    assert [one.record.message.seq for one, _ in store.rows.values()] == [3, 4]
    assert len(lanes) == 1
    with pytest.raises(Poison):
        await handler.handle(batch([b"{}"], "bot.requests"))
