from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.dispatch.lanes import Lane, Lanes, Limits
from tests.unit.dispatch.builders import NOW

HOME = ("channel.outbound", 3)
AWAY = ("channel.outbound", 4)
LATER = NOW + timedelta(seconds=10)


def filled(*keys: str, limits: Limits | None = None, channel: str = "c") -> Lanes:
    lanes = Lanes(limits or Limits())
    for key in keys:
        lanes.put(key, HOME, channel, NOW)
    return lanes


def taken(lanes: Lanes) -> list[Lane]:
    """All turns that may be had now."""
    found = []
    while (turn := lanes.take(NOW)) is not None:
        found.append(turn.lane)
    return found


def test_a_lane_has_one_turn_at_a_time() -> None:
    lanes = filled("a")
    assert len(taken(lanes)) == 1
    lanes.put("a", HOME, "c", NOW)
    assert taken(lanes) == []


def test_what_comes_in_during_a_turn_gets_another_turn_even_if_the_turn_found_nothing() -> None:
    lanes = filled("a")
    (lane,) = taken(lanes)
    lanes.put("a", HOME, "c", NOW)
    lanes.give_back(lane, None, NOW)
    assert taken(lanes) == [lane]


def test_an_empty_lane_is_forgotten() -> None:
    lanes = filled("a")
    (lane,) = taken(lanes)
    lanes.give_back(lane, None, NOW)
    assert len(lanes) == 0 and lanes.next_at() is None and lanes.busy == 0


def test_a_message_behind_a_waiting_head_does_not_wake_the_lane() -> None:
    lanes = filled("a")
    (lane,) = taken(lanes)
    lanes.give_back(lane, LATER, NOW)
    lanes.put("a", HOME, "c", NOW)
    assert taken(lanes) == [] and lanes.next_at() == LATER


def test_a_lane_that_is_to_be_looked_at_has_its_turn_now_unhurried() -> None:
    lanes = filled("a")
    (lane,) = taken(lanes)
    lanes.give_back(lane, LATER, NOW)
    lanes.look("a", NOW)
    lanes.look("unknown", NOW)
    turn = lanes.take(NOW)
    assert turn is not None and turn.lane is lane and not turn.hurried
    lanes.look("a", NOW)
    lanes.give_back(lane, LATER, NOW)
    assert taken(lanes) == [lane], "looked at during its turn: once more"
    lanes.give_back(lane, LATER, NOW)
    assert taken(lanes) == [] and lanes.next_at() == LATER


def test_an_erased_lane_looks_at_its_head_now_unhurried_and_remembers_how_far() -> None:
    lanes = filled("a")
    (lane,) = taken(lanes)
    lanes.give_back(lane, LATER, NOW)
    lanes.erase("unknown", 7, NOW)
    for seq in (7, 5):
        lanes.erase("a", seq, NOW)
    turn = lanes.take(NOW)
    assert turn is not None and turn.lane is lane and not turn.hurried and lane.erased_to == 7
    lanes.erase("a", 9, NOW)
    lanes.give_back(lane, LATER, NOW)
    assert taken(lanes) == [lane], "erased during its turn: once more"
    assert len(lanes) == 1


def test_a_hurried_lane_has_its_turn_now_and_knows_it() -> None:
    lanes = filled("a")
    (lane,) = taken(lanes)
    lanes.give_back(lane, LATER, NOW)
    lanes.fence("a", 1, NOW)
    turn = lanes.take(NOW)
    assert turn is not None and turn.hurried
    lanes.give_back(lane, NOW, NOW)
    turn = lanes.take(NOW)
    assert turn is not None and not turn.hurried


def test_a_lane_hurried_during_its_turn_is_looked_at_again() -> None:
    lanes = filled("a")
    (lane,) = taken(lanes)
    lanes.fence("a", 1, NOW)
    lanes.give_back(lane, LATER, NOW)
    turn = lanes.take(NOW)
    assert turn is not None and turn.hurried


def test_a_channel_hurries_its_own_lanes_only() -> None:
    lanes = filled("a", "b")
    lanes.put("x", HOME, "other", NOW)
    for lane in taken(lanes):
        lanes.give_back(lane, LATER, NOW)
    lanes.hurry_channel("c", NOW)
    assert {lane.key for lane in taken(lanes)} == {"a", "b"}


def test_lanes_of_lost_partitions_are_dropped_also_those_in_their_turn() -> None:
    lanes = filled("a", "b")
    lanes.put("x", AWAY, "c", NOW)
    first = lanes.take(NOW)
    assert first is not None
    lanes.drop([HOME])
    lanes.give_back(first.lane, NOW, NOW)
    assert [lane.key for lane in taken(lanes)] == ["x"]


def test_a_lane_that_comes_back_while_its_old_turn_runs_is_another_lane() -> None:
    lanes = filled("a")
    (old,) = taken(lanes)
    lanes.drop([HOME])
    lanes.put("a", HOME, "c", NOW)
    (new,) = taken(lanes)
    lanes.give_back(old, None, NOW)
    assert new is not old and len(lanes) == 1 and lanes.busy == 1


def test_a_channel_takes_no_more_than_its_share() -> None:
    lanes = filled(*(f"a{n}" for n in range(50)), limits=Limits(total=10, per_channel=3), channel="stuck")
    lanes.put("b", HOME, "quick", NOW)
    assert sorted(lane.channel_id for lane in taken(lanes)) == ["quick", "stuck", "stuck", "stuck"]


def test_all_channels_together_take_no_more_than_the_total() -> None:
    lanes = Lanes(Limits(total=5, per_channel=3))
    for n in range(40):
        lanes.put(f"l{n}", HOME, f"c{n % 10}", NOW)
    assert len(taken(lanes)) == 5


def test_a_channel_with_many_lanes_does_not_hold_up_one_with_few() -> None:
    lanes = filled(*(f"a{n}" for n in range(1000)), limits=Limits(total=1, per_channel=1), channel="busy")
    order = []
    lanes.put("b", HOME, "small", NOW)
    for _ in range(4):
        (lane,) = taken(lanes)
        order.append(lane.channel_id)
        lanes.give_back(lane, NOW, NOW)
    assert order == ["busy", "small", "busy", "small"]


def test_within_a_channel_every_lane_has_its_turn_before_one_has_its_second() -> None:
    lanes = filled("a", "b", "c", limits=Limits(total=1, per_channel=1))
    order = []
    for _ in range(6):
        (lane,) = taken(lanes)
        order.append(lane.key)
        lanes.give_back(lane, NOW, NOW)
    assert order == ["a", "b", "c", "a", "b", "c"]


def test_a_dead_channel_costs_no_memory_per_message() -> None:
    lanes = filled("a", "first")
    lane, first = taken(lanes)
    lanes.give_back(first, LATER - timedelta(seconds=1), NOW)
    lanes.give_back(lane, LATER, NOW)
    for _ in range(10_000):
        lanes.put("a", HOME, "c", NOW)
        lanes.fence("a", 1, NOW)
        (lane,) = taken(lanes)
        lanes.give_back(lane, LATER, NOW)
    assert len(lanes) == 2 and len(lanes._timers) < 100


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["put", "take", "idle", "again", "later", "drop", "hurry", "tick"]),
        st.integers(0, 5),
    ),
    max_size=80,
)


@given(MOVES)
def test_whatever_happens_limits_hold_and_no_filled_lane_is_lost(moves: list[tuple[str, int]]) -> None:
    limits = Limits(total=3, per_channel=2)
    lanes, now, busy, open_lanes = Lanes(limits), NOW, list[Lane](), set[str]()
    for move, n in moves:
        key, at = f"l{n}", HOME if n % 2 else AWAY
        match move:
            case "put":
                lanes.put(key, at, f"c{n % 3}", now)
                open_lanes.add(key)
            case "take" if (turn := lanes.take(now)) is not None:
                busy.append(turn.lane)
            case "idle" | "again" | "later" if busy:
                lane = busy.pop(n % len(busy))
                again = {"idle": None, "again": now, "later": now + timedelta(seconds=n)}[move]
                lanes.give_back(lane, again, now)
            case "drop":
                lanes.drop([at])
            case "hurry":
                lanes.fence(key, n, now)
            case "tick":
                now += timedelta(seconds=n)
        channels = [lane.channel_id for lane in busy]
        assert len(busy) == lanes.busy <= limits.total
        assert all(channels.count(each) <= limits.per_channel for each in channels)
    for lane in busy:
        lanes.give_back(lane, now, now)
    now += timedelta(seconds=100)
    left = len(lanes)
    served = set()
    while (turn := lanes.take(now)) is not None:
        served.add(turn.lane.key)
        lanes.give_back(turn.lane, None, now)
    assert len(served) == left and len(lanes) == 0 and lanes.busy == 0
    assert served <= open_lanes
