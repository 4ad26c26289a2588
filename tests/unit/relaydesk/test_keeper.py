"""When a dead process is started again."""

from dataclasses import dataclass

import pytest

from relaydesk.keeper import Deaths, Keeper
from shared.engines.process import EngineError


@dataclass
class FakeProcess:
    name: str = "fake"
    pid: int = 1
    running: bool = True
    port_is_held: bool = False

    def start(self) -> None:
        if self.port_is_held:
            raise EngineError("port 1 is already taken")
        self.pid += 1
        self.running = True


def test_two_deaths_in_a_row_are_answered_at_once() -> None:
    deaths = Deaths()
    assert [deaths.pause_after(now) for now in (0.0, 1.0)] == [0.0, 0.0]


def test_from_the_third_death_within_ten_seconds_on_pauses_grow_to_a_limit() -> None:
    deaths = Deaths()
    assert [deaths.pause_after(float(now)) for now in range(8)] == [0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_quiet_time_makes_up_for_earlier_deaths() -> None:
    deaths = Deaths()
    for now in (0.0, 1.0, 2.0):
        deaths.pause_after(now)
    assert deaths.pause_after(60.0) == 0.0


@pytest.mark.parametrize("last", [10.0, 10.1])
def test_the_window_is_ten_seconds_wide(last: float) -> None:
    deaths = Deaths()
    deaths.pause_after(0.0)
    deaths.pause_after(5.0)
    assert (deaths.pause_after(last) > 0) == (last <= 10.0)


def test_a_living_process_is_left_alone() -> None:
    process = FakeProcess()
    assert not Keeper(process, lambda: 0.0).look()
    assert process.pid == 1


def test_a_dead_process_has_a_new_pid_after_one_look() -> None:
    process = FakeProcess(running=False)
    assert Keeper(process, lambda: 0.0).look()
    assert process.pid == 2


def test_one_that_keeps_dying_is_failing_and_waits_out_its_pause() -> None:
    now = [0.0]
    process = FakeProcess()
    keeper = Keeper(process, lambda: now[0])
    for _ in range(2):
        process.running = False
        assert keeper.look()
    process.running = False
    assert not keeper.look()
    assert keeper.failing
    now[0] = 0.49
    assert not keeper.look()
    now[0] = 0.5
    assert keeper.look()


def test_a_port_that_is_still_held_counts_as_one_more_death() -> None:
    process = FakeProcess(running=False, port_is_held=True)
    keeper = Keeper(process, lambda: 0.0)
    assert [keeper.look() for _ in range(3)] == [False, False, False]
    assert keeper.failing
