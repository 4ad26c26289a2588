from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatch.core.delivery import Delivery, End, IllegalChange, report
from services.dispatch.core.outcome import Failed, Lost, Outcome, Retry, Sent
from services.dispatch.core.plan import (
    Attempt,
    ChannelSeen,
    Finish,
    Rules,
    Sight,
    Wait,
    backoff_s,
    expires_at,
    plan,
    settled,
)
from tests.unit.dispatch.builders import NOW, bot_message, claim, delivery, message, sight

LATER = NOW + timedelta(seconds=40)
LAPSED = claim(-1, "somebody")
HELD = claim(9, "somebody")


def ended(step: object) -> tuple[str, str | None]:
    assert isinstance(step, Finish) and step.after.end is not None
    return step.after.end.state, step.after.end.error


def test_a_new_head_is_claimed_for_its_first_attempt() -> None:
    step = plan(delivery(), sight())
    assert isinstance(step, Attempt)
    assert (step.after.state, step.after.attempt, step.after.claim) == ("attempting", 1, claim())


def test_a_head_between_attempts_waits_for_its_time() -> None:
    assert plan(delivery(attempt=2, next_at=LATER), sight()) == Wait(LATER)


def test_a_hurried_head_does_not_wait_for_its_time() -> None:
    assert isinstance(plan(delivery(attempt=2, next_at=LATER), sight(hurried=True)), Attempt)


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("hurried", [True, False])
@pytest.mark.parametrize("channel", ["ready", "unknown", "gone"])
def test_a_claim_that_holds_is_left_alone_whatever_else(idempotent: bool, hurried: bool, channel: ChannelSeen) -> None:
    seen = sight(idempotent=idempotent, hurried=hurried, channel=channel, fence=9)
    assert plan(delivery(bot_message(), attempt=1, claim=HELD), seen) == Wait(HELD.until)


def test_a_claim_that_ran_out_is_tried_again_where_the_channel_deduplicates() -> None:
    step = plan(delivery(attempt=1, claim=LAPSED, next_at=LATER), sight())
    assert isinstance(step, Attempt) and step.after.attempt == 2 and step.after.claim == claim()


def test_a_claim_that_ran_out_is_unknown_where_the_channel_does_not_deduplicate() -> None:
    state, error = ended(plan(delivery(attempt=1, claim=LAPSED), sight(idempotent=False)))
    assert state == "unknown" and error is not None and error.startswith("RESULT_UNKNOWN")


def test_a_bots_message_behind_a_fence_is_silenced_without_an_attempt() -> None:
    assert ended(plan(delivery(bot_message(epoch=4)), sight(fence=5))) == ("failed", "BOT_SILENCED")


def test_a_fence_does_not_wait_for_the_backoff() -> None:
    head = delivery(bot_message(epoch=4), attempt=3, next_at=LATER)
    assert ended(plan(head, sight(fence=5))) == ("failed", "BOT_SILENCED")


@pytest.mark.parametrize("fence", [0, 3, 4])
def test_a_bots_message_of_the_current_epoch_goes_out(fence: int) -> None:
    assert isinstance(plan(delivery(bot_message(epoch=4)), sight(fence=fence)), Attempt)


def test_a_fence_silences_bots_only() -> None:
    assert isinstance(plan(delivery(message()), sight(fence=99)), Attempt)


def test_after_a_day_a_message_fails_even_if_its_time_has_not_come() -> None:
    seen = sight(now=NOW + timedelta(hours=24))
    head = delivery(attempt=9, next_at=NOW + timedelta(hours=25))
    assert ended(plan(head, seen)) == ("failed", "DELIVERY_EXPIRED")


def test_an_unknown_channel_is_waited_for_without_using_up_attempts() -> None:
    assert plan(delivery(), sight(channel="unknown")) == Wait(NOW + timedelta(seconds=1))


def test_after_a_minute_an_unknown_channel_is_gone() -> None:
    seen = sight(channel="unknown", now=NOW + timedelta(seconds=60))
    assert ended(plan(delivery(), seen)) == ("failed", "CHANNEL_GONE")


def test_a_deleted_channel_is_gone_at_once() -> None:
    assert ended(plan(delivery(), sight(channel="gone"))) == ("failed", "CHANNEL_GONE")


def test_a_kind_of_a_later_version_is_waited_for() -> None:
    assert isinstance(plan(delivery(), sight(channel="unsupported")), Wait)


def test_sent_keeps_the_providers_id() -> None:
    after = settled(delivery().claimed(claim()), Sent("wamid.1"), sight(), 0.5)
    assert after.end == End("sent", NOW, "wamid.1") and after.claim is None


def test_a_refusal_ends_it_with_its_code_first() -> None:
    after = settled(delivery().claimed(claim()), Failed("ADAPTER_REFUSED", "HTTP 410"), sight(), 0.5)
    assert after.end == End("failed", NOW, error="ADAPTER_REFUSED: HTTP 410")


def test_no_answer_is_tried_again_only_where_the_channel_deduplicates() -> None:
    attempting = delivery().claimed(claim())
    assert settled(attempting, Lost("timed out"), sight(idempotent=True), 0.5).state == "waiting"
    assert settled(attempting, Lost("timed out"), sight(idempotent=False), 0.5).state == "unknown"


def test_an_adapter_that_names_a_time_is_not_tried_sooner() -> None:
    after = settled(delivery().claimed(claim()), Retry("HTTP 429", 30.0), sight(), 0.0)
    assert after.next_at == NOW + timedelta(seconds=30)


def test_an_adapter_cannot_put_a_message_off_for_longer_than_an_hour() -> None:
    after = settled(delivery().claimed(claim()), Retry("HTTP 503", 999_999.0), sight(), 0.0)
    assert after.next_at == NOW + timedelta(hours=1)


def test_backoff_doubles_up_to_its_longest() -> None:
    assert [backoff_s(n, Rules(), 0.0) for n in (1, 2, 3, 9, 10, 99)] == [1.0, 2.0, 4.0, 256.0, 300.0, 300.0]


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_takes_away_at_most_half(attempt: int, jitter: float) -> None:
    full = backoff_s(attempt, Rules(), 0.0)
    assert full / 2 <= backoff_s(attempt, Rules(), jitter) <= full


@given(
    st.integers(1, 3000),
    st.none() | st.floats(0, 1e9),
    st.floats(0, 86_399),
    st.floats(0, 1, exclude_max=True),
)
def test_the_next_attempt_is_never_past_the_end_of_life(
    attempt: int, after_s: float | None, age_s: float, jitter: float
) -> None:
    seen = sight(now=NOW + timedelta(seconds=age_s))
    head = delivery(attempt=attempt).claimed(claim())
    assert seen.now <= settled(head, Retry("HTTP 503", after_s), seen, jitter).next_at <= expires_at(head, seen.rules)


OUTCOMES = st.sampled_from([Sent(), Sent("x"), Failed("ADAPTER_REFUSED"), Retry("HTTP 500"), Lost("timed out")])
HEADS = st.builds(
    delivery,
    st.sampled_from([message(), bot_message(epoch=0), bot_message(epoch=2)]),
    attempt=st.integers(0, 5),
    next_at=st.sampled_from([NOW, LATER]),
    claim=st.sampled_from([None, LAPSED, HELD]),
)
SIGHTS = st.builds(
    sight,
    fence=st.integers(0, 3),
    channel=st.sampled_from(["ready", "unknown", "gone", "unsupported"]),
    idempotent=st.booleans(),
    hurried=st.booleans(),
    now=st.sampled_from([NOW, NOW + timedelta(seconds=61), NOW + timedelta(hours=25)]),
)


@given(HEADS, SIGHTS)
def test_a_plan_never_attempts_what_is_claimed_silenced_expired_or_without_a_channel(
    head: Delivery, seen: Sight
) -> None:
    step = plan(head, seen)
    if isinstance(step, Attempt):
        assert head.claim is None or head.claim.until <= seen.now
        assert head.record.bot_epoch is None or head.record.bot_epoch >= seen.fence
        assert seen.channel == "ready" and seen.now < expires_at(head, seen.rules)
        assert step.after.attempt == head.attempt + 1


@given(HEADS, SIGHTS, OUTCOMES, st.floats(0, 1, exclude_max=True))
def test_every_way_of_a_delivery_keeps_its_identity_and_ends_at_most_once(
    head: Delivery, seen: Sight, outcome: Outcome, jitter: float
) -> None:
    step = plan(head, seen)
    after = head
    if isinstance(step, Attempt):
        after = settled(step.after, outcome, seen, jitter)
    elif isinstance(step, Finish):
        after = step.after
    assert (after.ident, after.record, after.partition) == (head.ident, head.record, head.partition)
    assert after.attempt >= head.attempt and (after.claim is None or step == Wait(after.claim.until) or after is head)
    if after.end is not None:
        with pytest.raises(IllegalChange):
            after.claimed(claim())
        with pytest.raises(IllegalChange):
            after.ended(End("sent", NOW))


def test_only_an_attempt_can_be_put_off_or_released() -> None:
    with pytest.raises(IllegalChange):
        delivery().postponed(LATER, "why")
    with pytest.raises(IllegalChange):
        delivery().released(LATER)


def test_a_released_attempt_does_not_count() -> None:
    after = delivery(attempt=4).claimed(claim()).released(LATER)
    assert (after.state, after.attempt, after.next_at) == ("waiting", 4, LATER)


def test_a_report_is_the_same_however_often_it_is_made_and_another_for_another_attempt() -> None:
    first = settled(delivery().claimed(claim()), Sent("x"), sight(), 0.5)
    again = settled(delivery(attempt=1).claimed(claim()), Sent("x"), sight(), 0.5)
    assert report(first, "webhook") == report(first, "webhook")
    assert report(first, "webhook").id != report(again, "webhook").id
    assert report(first, "webhook").attempt == 1 and report(first, "webhook").status == "sent"


def test_an_open_delivery_has_nothing_to_report() -> None:
    with pytest.raises(IllegalChange):
        report(delivery(), None)
