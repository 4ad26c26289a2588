"""Many wait for outcomes; the store is asked once for all of them."""

import asyncio
from datetime import UTC, datetime
from typing import cast

import pytest

from services.gateway import outcomes
from services.gateway.outcomes import Outcomes
from services.gateway.store.commands import CommandState, CommandStore, NewCommand
from shared.runtime.clock import SystemClock
from shared.runtime.faults import Transient
from shared.runtime.records import Outgoing
from shared.testing.eventually import eventually
from tests.unit.gateway.doubles import Commands

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Crowd:
    def __init__(self) -> None:
        self.commands = Commands()
        self.outcomes = Outcomes(cast(CommandStore, self.commands), SystemClock())
        self.waiting: list[asyncio.Task[CommandState]] = []

    async def wait(self, ident: str, seconds: float = 30.0) -> None:
        """Begun, not ended."""
        record = Outgoing("conversation.commands", "acme:c", b"{}")
        await self.commands.add(NewCommand(ident, "acme", "grace", "d", "c", record), NOW)
        state = self.commands.kept[ident]
        self.waiting.append(asyncio.create_task(self.outcomes.wait(state, seconds)))
        await asyncio.sleep(0)

    async def ended(self) -> list[str]:
        async with asyncio.timeout(30):
            return [state.status for state in await asyncio.gather(*self.waiting)]


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


async def test_a_crowd_costs_the_store_no_more_questions_than_one(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "FIRST_POLL_S", 60)
    names = [f"command-{number}" for number in range(200)]
    for name in names:
        await crowd.wait(name)
    for name in names:
        crowd.commands.decide(name)
    crowd.outcomes.decided(names)
    assert await crowd.ended() == ["accepted"] * 200
    assert crowd.commands.asked <= 2


async def test_what_nobody_heard_of_is_asked_for_now_and_then(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "FIRST_POLL_S", 0.01)
    for name in ("a", "b"):
        await crowd.wait(name)
    await eventually(lambda: crowd.commands.asked >= 2, "some questions pass without an outcome")
    crowd.commands.decide("a")
    crowd.commands.decide("b", "rejected")
    assert await crowd.ended() == ["accepted", "rejected"]


async def test_when_the_time_is_over_it_is_pending(crowd: Crowd) -> None:
    await crowd.wait("a", 0.02)
    assert await crowd.ended() == ["pending"]


async def test_two_who_wait_for_one_command_both_hear_of_it_though_another_one_left(crowd: Crowd) -> None:
    await crowd.wait("a")
    await crowd.wait("a")
    await crowd.wait("a")
    crowd.waiting.pop().cancel()
    crowd.commands.decide("a")
    crowd.outcomes.seen("a")
    assert await crowd.ended() == ["accepted"] * 2


async def test_without_the_store_all_are_told_and_the_next_ones_wait_again(crowd: Crowd) -> None:
    crowd.commands.fault = Transient("MongoDB is away")
    await crowd.wait("a")
    await crowd.wait("b")
    crowd.outcomes.decided(["a", "b"])
    told = await asyncio.gather(*crowd.waiting, return_exceptions=True)
    assert [type(error) for error in told] == [Transient, Transient]
    crowd.commands.fault = None
    crowd.waiting.clear()
    await crowd.wait("a")
    crowd.commands.decide("a")
    crowd.outcomes.seen("a")
    assert await crowd.ended() == ["accepted"]
