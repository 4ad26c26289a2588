"""Tasks end, also those whose cancellation gets lost once."""

import asyncio
from contextlib import suppress

from shared.runtime.tasks import check_cancelled, ended


class Stubborn:
    """A loop that drops its first cancellations, as some libraries do."""

    def __init__(self, drops: int, checks: bool = False) -> None:
        self._drops, self._checks = drops, checks
        self.turns = 0

    async def run(self) -> None:
        while True:
            self.turns += 1
            if self._checks:
                check_cancelled()
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                if not self._drops:
                    raise
                self._drops -= 1


async def test_a_task_that_drops_a_cancellation_ends_all_the_same() -> None:
    task = asyncio.create_task(Stubborn(drops=1).run())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await ended([task, None])
    assert task.cancelled()


async def test_what_a_task_raised_is_no_matter_and_one_that_is_done_is_no_wait() -> None:
    async def fails() -> None:
        raise ValueError

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await ended([task])
    await ended([task])
    assert isinstance(task.exception(), ValueError)


async def test_a_loop_that_checks_ends_at_its_next_turn() -> None:
    stubborn = Stubborn(drops=1, checks=True)
    task = asyncio.create_task(stubborn.run())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        async with asyncio.timeout(30):
            await task
    assert task.cancelled() and stubborn.turns == 2


async def test_a_task_that_nobody_cancelled_goes_on() -> None:
    check_cancelled()
