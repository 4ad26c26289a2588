import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from services.dispatch.lanes import Lane, Lanes, Limits
from services.dispatch.runner import Runner
from shared.runtime.clock import SystemClock
from shared.testing.eventually import eventually

HOME = ("channel.outbound", 3)
CLOCK = SystemClock()


class Work:
    """Turns that do as told: a number of seconds until the next, None, an error, or waiting for `open`."""

    def __init__(self, react: Callable[[str], float | Exception | None] = lambda key: None) -> None:
        self.react = react
        self.turns: list[str] = []
        self.stuck: set[str] = set()
        self.open = asyncio.Event()
        self.cancelled = 0

    async def turn(self, lane: Lane, hurried: bool) -> datetime | None:
        self.turns.append(lane.key)
        if lane.key in self.stuck:
            try:
                await self.open.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        reaction = self.react(lane.key)
        if isinstance(reaction, Exception):
            raise reaction
        return None if reaction is None else CLOCK.now() + timedelta(seconds=reaction)


@asynccontextmanager
async def running(work: Work, lanes: Lanes, grace_s: float = 0.05) -> AsyncIterator[Runner]:
    runner = Runner(lanes, work, CLOCK, grace_s)
    await runner.start()
    try:
        yield runner
    finally:
        await runner.stop()


def put(lanes: Lanes, runner: Runner, *keys: str) -> None:
    for key in keys:
        lanes.put(key, HOME, "c", CLOCK.now())
    runner.wake()


async def test_lanes_have_their_turns_until_they_are_empty() -> None:
    left = {"a": 3, "b": 1}
    lanes = Lanes(Limits())

    def react(key: str) -> float | None:
        left[key] -= 1
        return 0.0 if left[key] else None

    work = Work(react)
    async with running(work, lanes) as runner:
        put(lanes, runner, "a", "b")
        await eventually(lambda: len(lanes) == 0, "both lanes done")
    assert sorted(work.turns) == ["a", "a", "a", "b"]


async def test_a_stuck_lane_holds_up_no_other() -> None:
    lanes, work = Lanes(Limits(total=4, per_channel=2)), Work()
    work.stuck.add("stuck")
    async with running(work, lanes) as runner:
        put(lanes, runner, "stuck", *(f"l{n}" for n in range(50)))
        await eventually(lambda: len(lanes) == 1, "all the others done")


async def test_a_lane_whose_turn_fails_has_another_one() -> None:
    failures: list[Exception] = [ValueError("a bug"), ConnectionError("an engine is away")]
    lanes = Lanes(Limits())
    work = Work(lambda key: failures.pop() if failures else None)
    async with running(work, lanes) as runner:
        put(lanes, runner, "a")
        await eventually(lambda: len(work.turns) == 3 and not len(lanes), "a third turn")


async def test_a_waiting_lane_has_its_turn_when_its_time_comes() -> None:
    waits = [0.05]
    lanes = Lanes(Limits())
    work = Work(lambda key: waits.pop() if waits else None)
    async with running(work, lanes) as runner:
        put(lanes, runner, "a")
        await eventually(lambda: len(work.turns) == 2, "the second turn")


@pytest.mark.parametrize("opened", [True, False])
async def test_stop_waits_for_the_turns_under_way_but_not_for_ever(opened: bool) -> None:
    lanes, work = Lanes(Limits()), Work()
    work.stuck.add("a")
    async with running(work, lanes, grace_s=60 if opened else 0.05) as runner:
        put(lanes, runner, "a")
        await eventually(lambda: work.turns, "its turn")
        if opened:
            asyncio.get_running_loop().call_later(0.05, work.open.set)
    assert work.cancelled == (0 if opened else 1)
    assert lanes.busy == 0


async def test_it_says_when_it_gives_no_turns_any_more() -> None:
    runner = Runner(Lanes(Limits()), Work(), CLOCK)
    await runner.start()
    assert runner.progress() is None
    await runner.stop()
    assert runner.progress() is not None
