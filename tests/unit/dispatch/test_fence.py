import asyncio

import pytest

from services.dispatch.fence import Fence, Silenced
from services.dispatch.lanes import Lane, Lanes, Limits
from shared.runtime.faults import Fenced, Transient
from shared.testing.eventually import eventually
from tests.unit.dispatch.builders import CHANNEL, NOW, bot_message, delivery, message
from tests.unit.dispatch.office import OwnedPartitions

AT = ("channel.outbound", 3)
HEAD = delivery(bot_message(epoch=4))


def here(epoch: int = 0) -> Lane:
    lanes = Lanes(Limits())
    lanes.put(HEAD.lane, AT, CHANNEL, NOW)
    lanes.fence(HEAD.lane, epoch, NOW)
    turn = lanes.take(NOW)
    assert turn is not None
    return turn.lane


async def test_a_bots_message_may_go_when_everything_is_known_and_no_fence_is_newer() -> None:
    await Fence(OwnedPartitions(), 60).check(HEAD, here(epoch=4))


async def test_a_newer_fence_silences() -> None:
    with pytest.raises(Silenced):
        await Fence(OwnedPartitions(), 60).check(HEAD, here(epoch=5))


async def test_a_partition_that_is_not_caught_up_says_nothing_yet() -> None:
    partitions = OwnedPartitions()
    partitions.end = 1
    with pytest.raises(Transient):
        await Fence(partitions, 0.01).check(HEAD, here())


async def test_a_fence_that_comes_while_the_attempt_waits_silences_it() -> None:
    partitions, lane = OwnedPartitions(), here()
    partitions.end = 1
    checking = asyncio.create_task(Fence(partitions, 60).check(HEAD, lane))
    await eventually(lambda: partitions.asked == 1, "it waits until it has caught up")
    partitions.end = 2  # a fence is acknowledged
    partitions.at = 1  # what was there at the question is stored
    await eventually(lambda: partitions.asked == 2 or checking.done(), "it goes on")
    lane.fenced(5)
    partitions.at = 2
    with pytest.raises(Silenced):
        await asyncio.wait_for(checking, 60)


async def test_a_partition_of_somebody_else_stops_the_attempt() -> None:
    partitions = OwnedPartitions()
    partitions.owned = False
    with pytest.raises(Fenced):
        await Fence(partitions, 0.01).check(HEAD, here())


async def test_a_lane_of_an_earlier_assignment_knows_no_newer_fences_and_must_not_go_on() -> None:
    lanes = Lanes(Limits())
    lanes.put(HEAD.lane, AT, CHANNEL, NOW)
    turn = lanes.take(NOW)
    lanes.drop([AT])
    lanes.put(HEAD.lane, AT, CHANNEL, NOW)
    lanes.fence(HEAD.lane, 5, NOW)
    assert turn is not None
    with pytest.raises(Fenced):
        await Fence(OwnedPartitions(), 0.01).check(HEAD, turn.lane)


async def test_a_persons_message_is_not_asked_about() -> None:
    partitions = OwnedPartitions()
    partitions.owned, partitions.end = False, 9
    await Fence(partitions, 0.01).check(delivery(message()), here(epoch=9))
