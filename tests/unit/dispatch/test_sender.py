import asyncio
import random
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dispatch.core.outcome import Failed, Lost, Outcome, Retry, Sent
from services.dispatch.core.plan import Rules, backoff_s
from services.dispatch.lanes import Lane
from tests.unit.dispatch.builders import CHANNEL, CONVERSATION, NOW, bot_message, channel, claim, delivery, message
from tests.unit.dispatch.office import TIMING, Office

MESSAGES = [message(seq) for seq in (4, 5, 6)]
IDS = [record.message_id for record in MESSAGES]


def states(office: Office) -> list[str]:
    return [office.store.rows[f"acme:{ident}"].state for ident in IDS]


async def test_messages_of_a_conversation_arrive_in_order_and_are_reported() -> None:
    office = Office()
    await office.queue(*MESSAGES)
    await office.life()
    assert office.customer.arrivals == IDS
    assert [report.status for report in office.reported().values()] == ["sent"] * 3
    assert states(office) == ["sent"] * 3


async def test_a_message_in_retry_holds_its_followers() -> None:
    office = Office()
    office.customer.reactions[IDS[0]] = [Retry("HTTP 503")] * 3
    await office.queue(*MESSAGES)
    await office.life()
    assert office.customer.arrivals == [IDS[0]] * 4 + IDS[1:]
    assert office.clock.now() == NOW + timedelta(seconds=1 + 2 + 4)


@pytest.mark.parametrize("outcome", [Failed("ADAPTER_REFUSED", "HTTP 410"), Lost("timed out")])
async def test_failed_and_unknown_let_the_next_message_go(outcome: Outcome) -> None:
    office = Office(idempotent=False)
    office.customer.reactions[IDS[0]] = [outcome]
    await office.queue(*MESSAGES)
    await office.life()
    assert office.customer.arrivals == IDS
    assert states(office)[0] in ("failed", "unknown") and states(office)[1:] == ["sent", "sent"]


async def test_retries_end_after_a_day_and_the_next_message_has_its_own() -> None:
    office = Office()
    office.customer.reactions[IDS[0]] = [Retry("HTTP 503")] * 1000
    await office.queue(MESSAGES[0])
    await office.life()
    assert office.reported()[IDS[0]].error == "DELIVERY_EXPIRED"
    assert office.clock.now() == NOW + timedelta(hours=24)
    assert 280 < len(office.customer.arrivals) < 310


@pytest.mark.parametrize("seed", range(5))
async def test_a_day_of_retries_over_restarts_keeps_its_backoff_and_ends_with_its_code(seed: int) -> None:
    dice, office, rules = random.Random(seed), Office(), Rules()
    office.jitter = dice.random
    at: list[datetime] = []
    office.customer.on_arrival = lambda: at.append(office.clock.now())
    office.customer.reactions[IDS[0]] = [Retry("HTTP 503")] * 10_000
    await office.queue(MESSAGES[0])
    while IDS[0] not in office.reported():
        await office.life(within=timedelta(minutes=dice.uniform(1, 120)))
    assert office.lives > 12
    pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(at)]
    for attempt, pause in enumerate(pauses, start=1):
        longest = backoff_s(attempt, rules, 0.0)
        assert longest / 2 - 0.001 <= pause <= longest + 0.001, f"attempt {attempt} waited {pause} s"
    assert 150 <= max(pauses) <= 300 and len({round(pause, 3) for pause in pauses[9:]}) > 100, "jitter spreads them"
    assert 288 <= len(at) <= 600
    report = office.reported()[IDS[0]]
    assert (report.status, report.error, report.attempt) == ("failed", "DELIVERY_EXPIRED", len(at))
    assert office.clock.now() == NOW + timedelta(hours=24) and at[-1] < office.clock.now()


async def test_retries_go_on_where_they_were_after_a_restart() -> None:
    office = Office()
    office.customer.reactions[IDS[0]] = [Retry("HTTP 503")] * 5
    await office.queue(MESSAGES[0])
    await office.life(within=timedelta(seconds=4))
    row = office.store.rows[f"acme:{IDS[0]}"]
    assert (row.state, row.attempt) == ("waiting", 4)
    await office.life()
    assert len(office.customer.arrivals) == 6
    assert office.clock.now() == NOW + timedelta(seconds=1 + 2 + 4 + 8 + 16)


async def test_while_the_database_is_away_a_known_outcome_is_kept() -> None:
    office = Office(idempotent=False)
    await office.queue(MESSAGES[0])
    office.customer.reactions[IDS[0]] = [Sent("wamid.1")]
    office.customer.on_arrival = lambda: setattr(office.store, "away", 1)
    await office.life()
    assert office.store.away == 0
    assert office.reported()[IDS[0]].provider_message_id == "wamid.1" and len(office.customer.arrivals) == 1


async def test_while_the_broker_is_away_deliveries_go_on_and_the_sweep_reports_them() -> None:
    office = Office()
    office.reports.away = True
    await office.queue(*MESSAGES)
    await office.life()
    assert office.customer.arrivals == IDS and not office.reported()
    office.reports.away = False
    await office.life()
    assert list(office.reported()) == IDS


async def test_a_message_for_another_workspaces_channel_is_never_handed_over() -> None:
    office = Office()
    await office.queue(message(4, workspace="globex"))
    await office.life()
    assert not office.customer.arrivals
    assert office.reported()[IDS[0]].error == "CHANNEL_GONE"


async def test_a_deleted_channel_fails_its_messages() -> None:
    office = Office()
    office.channels = {"3c1d2b0a-9e4f-4f7b-8a5d-1c2e3f405162": channel(deleted=True)}
    await office.queue(*MESSAGES)
    await office.life()
    assert not office.customer.arrivals and states(office) == ["failed"] * 3


async def test_a_channel_that_never_becomes_known_is_gone_after_a_minute() -> None:
    office = Office()
    office.channels = {}
    await office.queue(MESSAGES[0])
    await office.life()
    assert office.reported()[IDS[0]].error == "CHANNEL_GONE"
    assert office.clock.now() == NOW + timedelta(seconds=60)


async def test_a_fence_that_is_not_read_yet_still_silences_when_the_bytes_would_go_out() -> None:
    office = Office()
    record = bot_message(4, epoch=0)
    await office.queue(record)

    def fence_arrives() -> None:
        office.partitions.end = 8
        asyncio.get_running_loop().call_later(0.01, fence_is_read)

    def fence_is_read() -> None:
        office.store.fences[f"acme:{CONVERSATION}"] = 1
        office.lanes.fence(f"acme:{CONVERSATION}", 1, office.clock.now())
        office.partitions.at = 8

    office.customer.on_connect = fence_arrives
    await office.life()
    assert not office.customer.arrivals
    assert office.reported()[record.message_id].error == "BOT_SILENCED"


async def test_a_fence_that_an_earlier_life_stored_counts() -> None:
    office = Office()
    await office.queue(bot_message(4, epoch=0), message(5))
    office.store.fences[f"acme:{CONVERSATION}"] = 1
    await office.life()
    assert office.customer.arrivals == IDS[1:2]
    assert office.reported()[IDS[0]].error == "BOT_SILENCED"


async def test_a_bots_message_waits_while_dispatch_is_behind_and_uses_up_no_attempt() -> None:
    office = Office()
    await office.queue(bot_message(4))
    office.partitions.end = 8
    await office.life(within=timedelta(seconds=2))
    row = office.store.rows[f"acme:{IDS[0]}"]
    assert (row.state, row.attempt, office.customer.arrivals) == ("waiting", 0, [])
    office.partitions.at = 8
    await office.life()
    assert office.customer.arrivals == [IDS[0]]
    assert office.reported()[IDS[0]].attempt == 1


async def test_a_bots_message_is_not_begun_when_the_partition_is_somebody_elses() -> None:
    office = Office()
    office.partitions.owned = False
    await office.queue(bot_message(4))
    await office.life(within=timedelta(seconds=2))
    assert not office.customer.arrivals


async def test_an_agents_message_does_not_ask_for_the_fence() -> None:
    office = Office()
    office.partitions.owned = False
    office.partitions.end = 8
    await office.queue(MESSAGES[0])
    await office.life()
    assert office.customer.arrivals == [IDS[0]]


async def test_an_attempt_whose_claim_ran_out_before_the_first_byte_is_not_begun() -> None:
    office = Office()
    await office.queue(MESSAGES[0])
    sender = office.sender("frozen")
    claimed = delivery(MESSAGES[0]).claimed(claim(0))
    with pytest.raises(Exception, match="ran out"):
        await sender._gate(claimed, Lane(claimed.lane, ("channel.outbound", 3), CHANNEL))


async def test_a_second_owner_waits_for_the_claim_of_the_first() -> None:
    office = Office()
    await office.queue(MESSAGES[0])
    await office.life(crash_at=_step_of(await _names(Office()), "connect"))
    await office.life()
    assert office.clock.now() == NOW + TIMING.lease
    assert office.customer.arrivals == [IDS[0]]


async def _names(office: Office) -> list[str]:
    await office.queue(MESSAGES[0])
    return (await office.life()).names


def _step_of(names: list[str], name: str) -> int:
    return names.index(name) + 1


async def test_the_steps_of_a_delivery_are_those_of_the_protocol() -> None:
    assert await _names(Office()) == [
        "load",
        "head",
        "swap to attempting",
        "swapped to attempting",
        "connect",
        "handed over",
        "swap to sent",
        "swapped to sent",
        "publish",
        "published",
        "head",
    ]


@pytest.mark.parametrize("crash_at", range(1, 12))
async def test_a_death_at_any_step_leaves_one_visible_message_where_the_channel_deduplicates(crash_at: int) -> None:
    office = Office()
    await office.queue(*MESSAGES)
    await office.life(crash_at)
    await office.life()
    assert office.customer.shown == IDS
    assert [office.reported()[ident].status for ident in IDS] == ["sent"] * 3


@pytest.mark.parametrize("crash_at", range(1, 12))
async def test_a_death_at_any_step_never_repeats_where_the_channel_does_not_deduplicate(crash_at: int) -> None:
    office = Office(idempotent=False)
    await office.queue(*MESSAGES)
    steps = await office.life(crash_at)
    await office.life()
    assert len(office.customer.arrivals) == len(set(office.customer.arrivals))
    between = steps.names[-1] in ("swapped to attempting", "connect", "handed over", "swap to sent")
    assert states(office) == ["unknown" if between else "sent", "sent", "sent"]
    assert [office.reported()[ident].status for ident in IDS] == states(office)


REACTIONS = st.lists(
    st.sampled_from([Retry("HTTP 503"), Lost("timed out"), Retry("HTTP 429", 5.0), Failed("ADAPTER_REFUSED")]),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=5), st.tuples(REACTIONS, REACTIONS, REACTIONS), st.booleans())
async def test_any_crashes_and_any_adapter_keep_order_and_report_each_message_once(
    crashes: list[int], reactions: tuple[list[Outcome], ...], idempotent: bool
) -> None:
    office = Office(idempotent)
    office.customer.reactions = {ident: list(own) for ident, own in zip(IDS, reactions, strict=True)}
    await office.queue(*MESSAGES)
    for crash_at in crashes:
        await office.life(crash_at)
    await office.life()
    firsts = list(dict.fromkeys(office.customer.arrivals))
    assert firsts == [ident for ident in IDS if ident in firsts]
    assert office.customer.arrivals == sorted(office.customer.arrivals, key=IDS.index)
    assert list(office.reported()) and {ident: office.reported()[ident].status for ident in IDS} == dict(
        zip(IDS, states(office), strict=True)
    )
    assert not office.store.pending
