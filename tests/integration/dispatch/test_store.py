"""One suite for the store in memory and the one in MongoDB, on both drivers: what the twin proves is true of it too."""

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from services.dispatch.core.delivery import Delivery, End
from services.dispatch.core.intervention import cancelled, retried
from services.dispatch.ports import LaneStart, Query
from services.dispatch.store.deliveries import MongoDeliveries
from services.dispatch.store.requests import MongoRequests
from shared.engines.addresses import Addresses
from shared.runtime.mongo import Mongo
from shared.runtime.records import Outgoing
from shared.testing.eventually import eventually
from tests.integration.dispatch.conftest import DeliveryStore
from tests.unit.dispatch.builders import (
    CHANNEL,
    NOW,
    OTHER_CONVERSATION,
    bot_message,
    claim,
    delivery,
    message,
    request,
)

LATER = NOW + timedelta(seconds=30)
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TOLD = Outgoing("channel.inbound", "acme:c", b"{}")
ENDED = End("failed", NOW, error="ADAPTER_REFUSED")


def lane_of(one: Delivery) -> tuple[str, int]:
    return one.lane, one.partition


async def test_the_trace_of_a_delivery_is_kept_where_it_has_one(store: DeliveryStore) -> None:
    traced, plain = delivery(message(1), trace=TRACE), delivery(bot_message(1, conversation_id=OTHER_CONVERSATION))
    await store.add([traced, plain], {})
    assert [await store.head(*lane_of(one)) for one in (traced, plain)] == [traced, plain]


async def test_the_head_is_the_open_delivery_with_the_lowest_seq(store: DeliveryStore) -> None:
    first, second = delivery(message(4)), delivery(message(11))
    assert await store.head(*lane_of(first)) is None
    await store.add([first, second], {})
    assert await store.head(*lane_of(first)) == first
    assert await store.swap(first, first.ended(ENDED))
    assert await store.head(*lane_of(first)) == second


async def test_what_is_there_already_stays_as_it_is_and_the_rest_is_added(store: DeliveryStore) -> None:
    first = delivery(message(4))
    await store.add([first], {})
    claimed = first.claimed(claim())
    await store.swap(first, claimed)
    again = [replace(first, inserted_at=LATER), delivery(message(5)), replace(first, inserted_at=LATER)]
    await store.add([*again, delivery(message(6))], {})
    assert await store.head(*lane_of(first)) == claimed
    await store.swap(claimed, claimed.ended(ENDED))
    head = await store.head(*lane_of(first))
    assert head is not None and head.record.seq == 5


async def test_an_ended_delivery_is_not_opened_again_by_a_redelivery(store: DeliveryStore) -> None:
    first = delivery(message(4))
    await store.add([first], {})
    await store.swap(first, first.ended(ENDED))
    await store.add([first], {})
    assert await store.head(*lane_of(first)) is None


async def test_a_swap_succeeds_once(store: DeliveryStore) -> None:
    first = delivery(message(4))
    await store.add([first], {})
    mine, theirs = first.claimed(claim(owner="me")), first.claimed(claim(owner="them"))
    assert await store.swap(first, mine)
    assert not await store.swap(first, theirs)
    assert not await store.swap(theirs, theirs.ended(ENDED))
    assert await store.swap(mine, mine.ended(ENDED), TOLD)
    assert not await store.swap(mine, mine.postponed(LATER, "x"))


@pytest.mark.parametrize("step", ["claimed", "postponed", "released", "sent", "failed"])
async def test_every_state_comes_back_as_it_was_stored(store: DeliveryStore, step: str) -> None:
    first = delivery(bot_message(4, epoch=3))
    await store.add([first], {})
    claimed = first.claimed(claim())
    await store.swap(first, claimed)
    after = {
        "claimed": claimed,
        "postponed": claimed.postponed(LATER, "HTTP 503"),
        "released": claimed.released(LATER),
        "sent": claimed.ended(End("sent", NOW, "p-1")),
        "failed": claimed.ended(ENDED),
    }[step]
    if step != "claimed":
        assert await store.swap(claimed, after)
    everything = Query("acme", ("waiting", "attempting", "sent", "failed", "unknown"), None, None, 10)
    assert await store.page(everything) == [after]


async def test_fences_only_rise_and_are_zero_where_there_is_none(store: DeliveryStore) -> None:
    lane = delivery().lane
    assert await store.epoch(lane) == 0
    for epoch in (2, 5, 3):
        await store.add([], {lane: epoch})
    assert await store.epoch(lane) == 5
    assert await store.epoch("acme:other") == 0


async def test_lanes_are_loaded_by_partition_with_the_time_of_their_heads(store: DeliveryStore) -> None:
    other = "56865d94-dda1-53bd-b0bb-463852e73269"
    waiting = delivery(message(4), next_at=LATER)
    behind = delivery(message(5))
    elsewhere = delivery(message(3, conversation_id=other), partition=7)
    await store.add([waiting, behind, elsewhere], {})
    assert await store.load([3, 4]) == [LaneStart(waiting.lane, 3, CHANNEL, LATER)]
    assert await store.load([7]) == [LaneStart(elsewhere.lane, 7, CHANNEL, NOW)]
    assert await store.load([]) == []
    await store.swap(elsewhere, elsewhere.ended(ENDED))
    assert await store.load([7]) == []


async def test_pages_keep_to_workspace_state_and_channel_and_go_on_where_they_ended(store: DeliveryStore) -> None:
    rows = [delivery(message(n)) for n in (1, 2, 3)]
    foreign = delivery(message(4, workspace="globex"))
    elsewhere = delivery(message(5, channel_id="other"))
    await store.add([*rows, foreign, elsewhere], {})
    await store.swap(rows[1], rows[1].ended(ENDED))
    query = Query("acme", ("waiting",), CHANNEL, None, 10)
    assert await store.page(query) == [rows[0], rows[2]]
    assert await store.page(replace(query, after=rows[0].record.message_id)) == [rows[2]]
    assert await store.page(replace(query, limit=1)) == [rows[0]]
    assert await store.page(replace(query, states=("failed",))) == [rows[1].ended(ENDED)]
    assert await store.page(replace(query, channel_id=None)) == [rows[0], rows[2], elsewhere]
    assert await store.page(replace(query, workspace="nobody")) == []


async def test_a_delivery_is_found_in_its_workspace_alone(store: DeliveryStore) -> None:
    first = delivery(message(4))
    await store.add([first], {})
    ident = first.record.message_id
    assert await store.find("acme", ident) == first
    assert await store.find("globex", ident) is None
    await store.swap(first, first.ended(ENDED))
    assert await store.find("acme", ident) == first.ended(ENDED)


async def test_what_a_member_did_is_stored_and_its_lane_is_found_by_the_regular_look(store: DeliveryStore) -> None:
    first, second = delivery(message(4), attempt=3), delivery(message(5))
    other = delivery(message(6, conversation_id="56865d94-dda1-53bd-b0bb-463852e73269"))
    await store.add([first, second, other], {})
    assert await store.nudged(NOW) == []
    again, gone = retried(first, NOW), cancelled(second, LATER)
    assert await store.swap(first, again) and await store.swap(second, gone, TOLD)
    assert await store.find("acme", first.record.message_id) == again
    assert await store.find("acme", second.record.message_id) == gone
    assert await store.nudged(NOW) == [first.lane]
    assert await store.nudged(LATER) == [first.lane]
    assert await store.nudged(LATER + timedelta(seconds=1)) == []


async def test_a_claim_planned_before_a_retry_does_not_undo_it(store: DeliveryStore) -> None:
    first = delivery(message(4), attempt=3)
    await store.add([first], {})
    assert await store.swap(first, retried(first, LATER))
    assert not await store.swap(first, first.claimed(claim()))


async def test_of_a_cancel_and_a_claim_at_the_same_moment_exactly_one_wins(store: DeliveryStore) -> None:
    rows = [delivery(message(n, conversation_id=str(uuid.uuid4()))) for n in range(1, 60)]
    await store.add(rows, {})
    for row in rows:
        ways = [row.claimed(claim()), cancelled(row, LATER)]
        if row.record.seq % 2:
            ways.reverse()
        won = await asyncio.gather(*(store.swap(row, way, TOLD if way.end else None) for way in ways))
        assert sorted(won) == [False, True]
        assert await store.find("acme", row.record.message_id) == ways[won.index(True)]


async def test_a_report_is_kept_in_the_document_until_it_is_published(mongo: Mongo) -> None:
    store, first = MongoDeliveries(mongo), delivery(message(4))
    await store.start()
    await store.add([first], {})
    await store.swap(first, first.ended(ENDED), TOLD)
    found = await mongo.db.deliveries.find_one({})
    assert found is not None and [entry["topic"] for entry in found["pending"]] == ["channel.inbound"]


async def test_ended_deliveries_are_kept_for_fifteen_days_and_open_ones_for_ever(mongo: Mongo) -> None:
    store = MongoDeliveries(mongo)
    await store.start()
    indexes = await mongo.db.deliveries.index_information()
    assert indexes["kept"]["expireAfterSeconds"] == 15 * 24 * 3600
    await store.add([delivery(message(4))], {})
    found = await mongo.db.deliveries.find_one({})
    assert found is not None and "ended_at" not in found


async def test_the_head_is_found_by_an_index_of_open_deliveries_alone(mongo: Mongo) -> None:
    store = MongoDeliveries(mongo)
    await store.start()
    rows = [delivery(message(n)) for n in range(1, 200)]
    await store.add(rows, {})
    where = {"partition": 3, "lane": rows[0].lane, "open": True}
    stats = await mongo.db.command(
        "explain",
        {"find": "deliveries", "filter": where, "sort": {"seq": 1}, "limit": 1},
        verbosity="executionStats",
    )
    assert stats["executionStats"]["totalDocsExamined"] == 1


async def test_questions_are_kept_until_they_are_answered_once(mongo: Mongo) -> None:
    store, first, second = MongoRequests(mongo), request(3), request(4)
    await store.start()
    await store.add([(first, NOW), (second, NOW)])
    await store.add([(first, LATER), (second, LATER)])
    assert await store.load([3]) == [LaneStart(first.lane, 3, CHANNEL, NOW)]
    assert await store.head(first.lane, 3) == first
    assert await store.end(first, "answered", NOW, TOLD)
    assert not await store.end(first, "EXPIRED", LATER, TOLD)
    assert await store.head(first.lane, 3) == second
    assert await store.end(second, "overtaken", NOW, None)
    await store.add([(first, LATER)])
    assert await store.head(first.lane, 3) is None and await store.load([3]) == []
    found = await mongo.db.bot_requests.find_one({"_id": first.ident})
    assert found is not None and (found["outcome"], len(found["pending"])) == ("answered", 1)


async def test_two_owners_inserting_the_same_lane_leave_it_whole(engines: Addresses, mongo: Mongo) -> None:
    store = MongoDeliveries(mongo)
    await store.start()
    conversation = str(uuid.uuid4())
    rows = [delivery(message(n, conversation_id=conversation)) for n in range(1, 300)]
    seen: list[list[int]] = []

    async def watch() -> None:
        while not seen or len(seen[-1]) < len(rows):
            found = await mongo.db.deliveries.find({}, {"seq": 1}).to_list(None)
            seen.append(sorted(row["seq"] for row in found))

    async def redelivered() -> None:
        """A later batch comes again only when the one before it was there."""
        await eventually(lambda: seen and len(seen[-1]) >= 100, "the first hundred")
        await store.add(rows[100:200], {})

    await asyncio.gather(watch(), store.add(rows, {}), store.add(rows, {}), redelivered())
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in seen if seqs and seqs[0] == 1)


async def test_open_lanes_follow_their_conversations_into_other_partitions(mongo: Mongo) -> None:
    deliveries, requests = MongoDeliveries(mongo), MongoRequests(mongo)
    await deliveries.start()
    await requests.start()
    here, there, asked = delivery(message(4)), delivery(message(5)), request()
    ended = replace(delivery(message(3)), end=ENDED)
    await deliveries.add([ended, here, there], {})
    await requests.add([(asked, NOW)])
    elsewhere = here.partition + 1
    assert await deliveries.regroup(lambda lane: elsewhere) == 1
    assert await deliveries.regroup(lambda lane: elsewhere) == 0
    assert await requests.regroup(lambda lane: elsewhere) == 1
    assert await deliveries.head(here.lane, here.partition) is None
    assert await deliveries.head(here.lane, elsewhere) == replace(here, partition=elsewhere)
    assert [start.partition for start in await deliveries.load([elsewhere])] == [elsewhere]
    kept = await deliveries.find(ended.record.workspace, ended.record.message_id)
    assert kept is not None
    assert kept.partition == ended.partition


async def test_what_is_open_or_missing_is_found_whatever_its_lane(store: DeliveryStore) -> None:
    one, two, gone = delivery(message(1)), delivery(message(2)), delivery(message(3))
    await store.add([one, two, gone], {})
    assert await store.swap(gone, gone.ended(ENDED))
    assert await store.missing([one.ident, gone.ident, "acme:nobody"]) == {"acme:nobody"}
    assert await store.open_ones("", 10) == [one, two]
    assert await store.open_ones(one.ident, 10) == [two]
    assert await store.open_ones("", 1) == [one]


async def test_open_questions_are_found_too(mongo: Mongo) -> None:
    requests, asked = MongoRequests(mongo), request()
    await requests.start()
    await requests.add([(asked, NOW)])
    assert await requests.missing([asked.ident, "acme:nobody"]) == {"acme:nobody"}
    assert await requests.open_ones("", 10) == [asked]
    await requests.end(asked, "answered", NOW, None)
    assert await requests.open_ones("", 10) == []
