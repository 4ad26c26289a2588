from hypothesis import given
from hypothesis import strategies as st

from services.gateway.stream.wheel import Wheel

moments = st.floats(0, 100, allow_nan=False)


@given(st.lists(moments), st.lists(moments).map(sorted))
def test_each_item_is_due_once_no_earlier_than_its_moment_and_at_most_a_tick_late(
    items: list[float], turns: list[float]
) -> None:
    wheel: Wheel[int] = Wheel(0.0, tick_s=0.5)
    for number, moment in enumerate(items):
        wheel.add(moment, number)
    due: list[int] = []
    for now in [*turns, 102.0]:
        fresh = wheel.turn(now)
        assert all(items[number] <= now for number in fresh)
        due += fresh
        assert all(items[number] > now - 1.0 for number in set(range(len(items))) - set(due))
    assert sorted(due) == list(range(len(items)))
    assert len(wheel) == 0


def test_a_discarded_item_is_not_due_and_leaves_nothing_behind() -> None:
    wheel: Wheel[str] = Wheel(0.0, tick_s=0.5)
    tick = wheel.add(10.0, "one")
    wheel.discard(tick, "one")
    wheel.discard(tick, "one")
    assert not wheel._due
    assert wheel.turn(20.0) == []


def test_what_is_added_for_the_past_is_due_at_the_next_turn() -> None:
    wheel: Wheel[str] = Wheel(50.0, tick_s=0.5)
    wheel.add(10.0, "late")
    assert wheel.turn(51.0) == ["late"]
