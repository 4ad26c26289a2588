"""What a measured wait is excused from: what others had of the machine, and no more."""

import asyncio
import time

import pytest

from shared.testing.eventually import eventually
from tests.deploy.machine import LEAST_SHARE, Excuses, Machine, busy_s, used_s


def test_a_wait_on_a_machine_of_ones_own_is_not_excused() -> None:
    excuses = Excuses(0.0, shares=[(float(second), 0.0) for second in range(1, 20)])
    assert excuses.own(3.5, 8.0) == pytest.approx(4.5)
    assert excuses.own(3.5, 3.5) == 0.0


def test_a_standstill_and_what_others_took_are_taken_off() -> None:
    excuses = Excuses(0.0, gaps=[(2.0, 5.0)], shares=[(4.0, 0.0), (8.0, 0.5), (12.0, 1.0)])
    assert excuses.own(0.0, 4.0) == pytest.approx(2.0), "two of four seconds"
    assert excuses.own(6.0, 8.0) == pytest.approx(1.0), "half of two"
    assert excuses.own(3.0, 7.0) == pytest.approx(2.0 * (1 - 1.5 / 4))


def test_a_long_pause_is_one_on_a_busy_machine_too() -> None:
    excuses = Excuses(0.0, shares=[(100.0, 1.0)])
    assert excuses.own(10.0, 55.0) == pytest.approx(45 * LEAST_SHARE)


async def test_it_sees_when_its_own_loop_stood_still() -> None:
    async with Machine() as excuses:
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        time.sleep(1.0)  # noqa: ASYNC251 - that is what is to be seen
        await eventually(lambda: excuses.gaps and excuses.shares, "both are measured")
    assert excuses.own(begun, begun + 1.0) < 0.2


def test_what_is_ours_is_a_part_of_what_is_used() -> None:
    before, ours = busy_s(), sum(used_s().values())
    while sum(used_s().values()) < ours + 0.3:
        """Work."""
    assert busy_s() - before >= 0.25
