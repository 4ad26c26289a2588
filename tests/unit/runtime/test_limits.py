import pytest

from shared.runtime.auth import Principal
from shared.runtime.limits import MAX_KEPT, CallerLimits, TokenBuckets
from shared.runtime.problems import Problem
from shared.runtime.settings import AuthSettings
from tests.unit.runtime.tokens import NOW, StillClock


def caller(member: str = "ann", workspace: str = "acme") -> Principal:
    return Principal(workspace, member, "agent", member.title(), NOW)


class Limits:
    """Of a clock that moves when told."""

    def __init__(self, **settings: float) -> None:
        self.clock = StillClock()
        config = AuthSettings.model_validate({"jwt_jwks_url": "http://keys.example", **settings})
        self._limits = CallerLimits(config, self.clock)

    def admit(self, principal: Principal, times: int = 1) -> None:
        for _ in range(times):
            self._limits.admit(principal)

    def refusal(self, principal: Principal) -> Problem:
        with pytest.raises(Problem) as caught:
            self.admit(principal)
        return caught.value


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


def test_over_a_members_rate_is_429_with_whole_seconds_to_wait() -> None:
    limits = Limits(member_rate=0.4, member_burst=3)
    limits.admit(caller(), times=3)
    refused = limits.refusal(caller())
    assert (refused.status, refused.code, refused.headers) == (429, "TOO_MANY_REQUESTS", {"Retry-After": "3"})
    limits.clock.advance(2.4)
    assert limits.refusal(caller()).headers == {"Retry-After": "1"}
    limits.clock.advance(0.1)
    limits.admit(caller())


def test_members_do_not_share_their_limit() -> None:
    limits = Limits(member_rate=1, member_burst=1)
    limits.admit(caller("ann"))
    limits.refusal(caller("ann"))
    limits.admit(caller("ben"))
    limits.admit(caller("ann", workspace="globex"))


def test_a_workspace_is_limited_over_all_its_members_and_another_one_is_not() -> None:
    limits = Limits(workspace_rate=2, workspace_burst=4)
    for number in range(4):
        limits.admit(caller(f"m-{number}"))
    refused = limits.refusal(caller("m-4"))
    assert (refused.status, refused.headers) == (429, {"Retry-After": "1"})
    assert "workspace" in refused.detail
    limits.admit(caller("m-4", workspace="globex"))
    limits.clock.advance(0.5)
    limits.admit(caller("m-4"))
    limits.refusal(caller("m-5"))


def test_a_member_who_insists_takes_no_more_of_the_workspace_than_a_members_rate() -> None:
    limits = Limits(member_rate=1, member_burst=2, workspace_rate=1, workspace_burst=4)
    limits.admit(caller("ann"), times=2)
    for _ in range(100):
        assert "You send" in limits.refusal(caller("ann")).detail
    limits.admit(caller("ben"), times=2)


def test_without_rates_there_are_no_limits() -> None:
    Limits(member_rate=0, workspace_rate=0).admit(caller(), times=20_000)


def test_as_shipped_a_page_that_opens_thousands_of_things_at_once_is_served() -> None:
    limits = Limits()
    limits.admit(caller(), times=5_000)
    assert limits.refusal(caller()).headers == {"Retry-After": "1"}
    limits.clock.advance(1)
    limits.admit(caller(), times=500)
