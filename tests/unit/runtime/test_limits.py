from shared.runtime.clock import SystemClock
from shared.runtime.limits import TokenBuckets


class StandingClock(SystemClock):
    """Moves when told."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at


def test_a_burst_is_taken_and_then_the_rate_counts() -> None:
    clock = StandingClock()
    buckets = TokenBuckets(rate=10, burst=20, clock=clock)
    assert buckets.take("a", 20) == 0
    assert buckets.take("a", 5) == 0.5
    clock.at += 0.5
    assert buckets.take("a", 5) == 0
    assert buckets.take("a", 1) > 0


def test_names_do_not_share_a_bucket() -> None:
    buckets = TokenBuckets(rate=1, burst=1, clock=StandingClock())
    assert [buckets.take("a", 1), buckets.take("b", 1)] == [0, 0]


def test_a_request_above_the_burst_waits_for_a_full_bucket_and_is_paid_for_afterwards() -> None:
    clock = StandingClock()
    buckets = TokenBuckets(rate=10, burst=10, clock=clock)
    assert buckets.take("a", 30) == 0
    assert buckets.take("a", 1) == 2.1


def test_a_rate_of_zero_is_no_limit() -> None:
    buckets = TokenBuckets(rate=0, burst=1, clock=StandingClock())
    assert {buckets.take("a", 1000) for _ in range(100)} == {0.0}


def test_full_buckets_are_not_kept() -> None:
    clock = StandingClock()
    buckets = TokenBuckets(rate=1, burst=1, clock=clock)
    for number in range(10_000):
        buckets.take(f"old-{number}", 1)
    clock.at += 2
    buckets.take("new", 1)
    assert set(buckets._buckets) == {"new"}
