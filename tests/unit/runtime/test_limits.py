from shared.runtime.limits import MAX_KEPT, TokenBuckets
from tests.unit.runtime.tokens import StillClock


def test_a_burst_is_taken_and_then_the_rate_counts() -> None:
    clock = StillClock()
    buckets = TokenBuckets(rate=10, burst=20, clock=clock)
    assert buckets.take("a", 20) == 0
    assert buckets.take("a", 5) == 0.5
    clock.advance(0.5)
    assert buckets.take("a", 5) == 0
    assert buckets.take("a", 1) > 0


def test_nobody_saves_up_more_than_a_burst() -> None:
    clock = StillClock()
    buckets = TokenBuckets(rate=10, burst=20, clock=clock)
    buckets.take("a", 1)
    clock.advance(3600)
    assert buckets.take("a", 20) == 0
    assert buckets.take("a", 1) > 0


def test_names_do_not_share_a_bucket() -> None:
    buckets = TokenBuckets(rate=1, burst=1, clock=StillClock())
    assert [buckets.take("a", 1), buckets.take("b", 1)] == [0, 0]


def test_a_request_above_the_burst_waits_for_a_full_bucket_and_is_paid_for_afterwards() -> None:
    clock = StillClock()
    buckets = TokenBuckets(rate=10, burst=10, clock=clock)
    assert buckets.take("a", 30) == 0
    assert buckets.take("a", 1) == 2.1


def test_a_rate_of_zero_is_no_limit() -> None:
    buckets = TokenBuckets(rate=0, burst=1, clock=StillClock())
    assert {buckets.take("a", 1000) for _ in range(100)} == {0.0}


def test_a_refusal_costs_nothing_however_often_one_asks() -> None:
    clock = StillClock()
    buckets = TokenBuckets(rate=1, burst=1, clock=clock)
    assert buckets.take("a", 1) == 0
    for _ in range(8):
        assert buckets.take("a", 1) > 0
        clock.advance(0.125)
    assert buckets.take("a", 1) == 0


def test_a_burst_is_whole_also_where_seconds_are_sums_of_fractions() -> None:
    clock = StillClock(seconds=1e7)
    buckets = TokenBuckets(rate=300, burst=1_000, clock=clock)
    assert {buckets.take("a", 1) for _ in range(1_000)} == {0.0}
    assert 0.003 < buckets.take("a", 1) < 0.004


def test_who_is_full_again_is_forgotten() -> None:
    clock = StillClock()
    buckets = TokenBuckets(rate=1, burst=1, clock=clock)
    for number in range(MAX_KEPT):
        buckets.take(f"old-{number}", 1)
    clock.advance(1)
    buckets.take("new", 1)
    assert set(buckets._full_at) == {"new"}


def test_the_table_is_bounded_and_who_has_taken_most_stays_in_it() -> None:
    buckets = TokenBuckets(rate=1, burst=2, clock=StillClock())
    buckets.take("insists", 2)
    for number in range(3 * MAX_KEPT):
        buckets.take(f"m-{number}", 1)
        assert len(buckets._full_at) <= MAX_KEPT
    assert buckets.take("insists", 1) == 1
