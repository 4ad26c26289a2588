"""What an erasure leaves in the stores: one suite for those in memory and those in MongoDB, on both drivers."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio

from services.dispatch.core.delivery import Delivery, End
from services.dispatch.core.erasing import erased
from services.dispatch.core.intervention import retried
from services.dispatch.ports import LaneStart, Query
from services.dispatch.store.deliveries import MongoDeliveries
from services.dispatch.store.erasures import MongoErasures
from services.dispatch.store.requests import MongoRequests
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.outbox import Outbox
from shared.runtime.records import Outgoing
from tests.integration.dispatch.conftest import DeliveryStore
from tests.unit.dispatch.builders import (
    CHANNEL,
    CONVERSATION,
    NOW,
    OTHER_CONVERSATION,
    PERSONAL,
    PHONE,
    claim,
    delivery,
    message,
    personal,
    request,
)
from tests.unit.dispatch.memory import MemoryDeliveries, MemoryErasures, MemoryRequests

LATER = NOW + timedelta(seconds=30)
LANE = f"acme:{CONVERSATION}"
ELSEWHERE = f"acme:{OTHER_CONVERSATION}"
TOLD = Outgoing("channel.inbound", LANE, f'{{"provider_message_id":"wamid.{PHONE}"}}'.encode())
SENT = End("sent", NOW, f"wamid.{PHONE}")
EVERYTHING = Query("acme", ("waiting", "attempting", "sent", "failed", "unknown"), None, None, 2_000)

RequestStore = MemoryRequests | MongoRequests
ErasureStore = MemoryErasures | MongoErasures


@pytest_asyncio.fixture(params=["memory", "mongo"])
async def requests(request: pytest.FixtureRequest, mongo: Mongo) -> AsyncIterator[RequestStore]:
    if request.param == "memory":
        yield MemoryRequests()
        return
    store = MongoRequests(mongo)
    await store.start()
    yield store


@pytest_asyncio.fixture(params=["memory", "mongo"])
async def erasures(request: pytest.FixtureRequest, mongo: Mongo) -> AsyncIterator[ErasureStore]:
    if request.param == "memory":
        yield MemoryErasures()
        return
    store = MongoErasures(mongo)
    await store.start()
    yield store


async def kept(store: DeliveryStore | RequestStore) -> str:
    """Everything that is stored, as text."""
    if isinstance(store, MemoryDeliveries | MemoryRequests):
        return repr((store.rows, store.pending))
    return repr(await store._entries.collection.find({}).to_list(None))


async def traces(store: DeliveryStore | RequestStore) -> list[str]:
    text = await kept(store)
    return [word for word in PERSONAL if word in text]


async def grown(store: DeliveryStore) -> list[Delivery]:
    """A delivery in every state, seqs 1 to 6; one of them with a report to tell."""
    rows = [delivery(personal(seq)) for seq in range(1, 7)]
    await store.add(rows, {})
    claimed = [row.claimed(claim()) for row in rows]
    ends = [
        SENT,
        End("failed", NOW, error=f"ADAPTER_REFUSED: says: {PHONE}"),
        End("unknown", NOW, error="RESULT_UNKNOWN"),
    ]
    for row, after in zip(rows, claimed, strict=True):
        assert row.record.seq == 6 or await store.swap(row, after)
    for row, end in zip(claimed, ends, strict=False):
        assert await store.swap(row, row.ended(end), TOLD)
    waiting = claimed[3].postponed(LATER, f"says: {PHONE}")
    assert await store.swap(claimed[3], waiting) and await store.swap(waiting, retried(waiting, LATER))
    return await store.page(EVERYTHING)


async def test_of_deliveries_in_every_state_the_same_skeletons_are_left(store: DeliveryStore) -> None:
    rows = await grown(store)
    assert await traces(store)
    assert await store.erase(LANE, 6, LATER) == 3
    assert await store.page(EVERYTHING) == [erased(row, LATER) for row in rows]
    assert await traces(store) == []
    assert await store.head(LANE, 3) is None and await store.load([3]) == []


async def test_a_repeated_erasure_finds_nothing_to_do(store: DeliveryStore) -> None:
    await grown(store)
    await store.erase(LANE, 6, LATER)
    before = await kept(store)
    assert await store.erase(LANE, 6, LATER + timedelta(hours=1)) == 0
    assert await kept(store) == before


async def test_later_messages_and_other_conversations_stay_as_they_are(store: DeliveryStore) -> None:
    later = [delivery(message(seq)) for seq in (7, 10, 60)]
    others = [
        delivery(message(1, conversation_id=OTHER_CONVERSATION)),
        delivery(message(1, workspace="globex")),
        delivery(message(2, conversation_id="36865d94-dda1-53bd-b0bb-463852e7326a")),
    ]
    await store.add([delivery(personal(4)), *later, *others], {})
    assert await store.erase(LANE, 6, LATER) == 1
    assert await store.head(LANE, 3) == later[0]
    for row in (*later, *others):
        assert await store.find(row.record.workspace, row.record.message_id) == row
    assert LaneStart(LANE, 3, CHANNEL, NOW) in await store.load([3])


async def test_a_redelivered_message_of_an_erased_contact_is_not_opened(store: DeliveryStore) -> None:
    rows = [delivery(personal(seq)) for seq in (4, 5)]
    await store.add(rows, {})
    await store.erase(LANE, 6, LATER)
    assert not await store.add(rows, {})
    assert await store.head(LANE, 3) is None and await traces(store) == []


async def test_a_skeleton_may_be_inserted_as_one_and_the_new_are_named(store: DeliveryStore) -> None:
    first, second, third = [delivery(personal(seq)) for seq in (4, 5, 6)]
    await store.add([second], {})
    added = await store.add([erased(first, LATER), erased(second, LATER), erased(first, LATER), third], {})
    assert sorted(added) == [first.ident, third.ident]
    assert await store.find("acme", first.record.message_id) == erased(first, LATER)
    assert await store.head(LANE, 3) == second, "what is there stays as it is"


@pytest.mark.parametrize("way", ["waiting", "sent", "failed", "released"])
async def test_whoever_saw_it_before_the_erasure_changes_nothing_after_it(store: DeliveryStore, way: str) -> None:
    waiting = delivery(personal(4))
    claimed = waiting.claimed(claim())
    await store.add([waiting], {})
    await store.swap(waiting, claimed)
    assert await store.erase(LANE, 6, LATER) == 1
    after = {
        "waiting": claimed.postponed(LATER, f"says: {PHONE}"),
        "sent": claimed.ended(SENT),
        "failed": claimed.ended(End("failed", NOW, error=f"ADAPTER_REFUSED: says: {PHONE}")),
        "released": claimed.released(LATER),
    }[way]
    assert not await store.swap(claimed, after, TOLD if after.end else None)
    assert not await store.swap(waiting, claimed) and not await store.swap(waiting, retried(waiting, LATER))
    assert await store.find("acme", waiting.record.message_id) == erased(claimed, LATER)
    assert await traces(store) == []


async def test_an_erasure_among_claims_outcomes_and_inserts_leaves_nothing_open(store: DeliveryStore) -> None:
    """Senders, members and a zombie's batch at the same moment: whoever is quicker, the end is the same."""
    rows = [delivery(personal(seq)) for seq in range(1, 41)]
    await store.add(rows, {})

    async def send(row: Delivery) -> None:
        claimed = row.claimed(claim())
        if row.record.seq % 3 and await store.swap(row, claimed):
            after = claimed.ended(SENT) if row.record.seq % 2 else claimed.postponed(LATER, f"says: {PHONE}")
            await store.swap(claimed, after, TOLD if after.end else None)
        elif await store.swap(row, again := retried(row, LATER)):
            await store.swap(again, again.claimed(claim()))

    await asyncio.gather(
        store.erase(LANE, 40, LATER), store.add(rows, {}), *(send(row) for row in rows), store.erase(LANE, 40, LATER)
    )
    assert await traces(store) == [] and await store.head(LANE, 3) is None
    found = await store.page(EVERYTHING)
    assert len(found) == 40 and all(row.erased and row.state in ("failed", "sent") for row in found)
    assert await store.erase(LANE, 40, LATER) == 0


async def test_more_than_a_round_of_deliveries_is_erased(store: DeliveryStore) -> None:
    await store.add([delivery(personal(seq)) for seq in range(1, 1_202)], {})
    assert await store.erase(LANE, 1_200, LATER) == 1_200
    found = await store.page(EVERYTHING)
    assert [row.record.seq for row in found if not row.erased] == [1_201]


async def test_of_two_owners_each_open_delivery_is_counted_by_one(store: DeliveryStore) -> None:
    await store.add([delivery(personal(seq)) for seq in range(1, 101)], {})
    assert sum(await asyncio.gather(*(store.erase(LANE, 100, LATER) for _ in range(2)))) == 100


async def test_an_erased_delivery_is_found_by_its_id_alone(mongo: Mongo) -> None:
    store = MongoDeliveries(mongo)
    await store.start()
    rows = [delivery(message(seq, conversation_id=str(uuid.uuid4()))) for seq in range(1, 300)]
    await store.add([*rows, delivery(personal(4))], {})
    stats = await mongo.db.command(
        "explain",
        {"find": "deliveries", "filter": {"_id": {"$gt": f"{LANE}-", "$lt": f"{LANE}."}, "seq": {"$lte": 6}}},
        verbosity="executionStats",
    )
    assert stats["executionStats"]["totalDocsExamined"] == 1


async def test_skeletons_are_kept_for_their_fifteen_days(mongo: Mongo) -> None:
    store = MongoDeliveries(mongo)
    await store.start()
    await store.add([delivery(personal(4)), erased(delivery(personal(5)), LATER)], {})
    await store.erase(LANE, 6, LATER)
    assert [row["ended_at"] for row in await mongo.db.deliveries.find({}).to_list(None)] == [LATER, LATER]
    requests = MongoRequests(mongo)
    await requests.start()
    await requests.add([(request(3), NOW), (replace(request(4), erased=True), LATER)])
    await requests.erase(LANE, 6, LATER)
    assert [row["ended_at"] for row in await mongo.db.bot_requests.find({}).to_list(None)] == [LATER, LATER]


class Interrupted:
    """A broker's other end: the contact is erased while a report is on its way."""

    def __init__(self, store: MongoDeliveries) -> None:
        self._store = store

    async def publish(self, records: object) -> None:
        await self._store.erase(LANE, 6, LATER)


async def test_a_report_that_the_outbox_has_in_its_hands_does_not_come_back(mongo: Mongo) -> None:
    store = MongoDeliveries(mongo)
    await store.start()
    row = delivery(personal(4))
    await store.add([row], {})
    await store.swap(row, row.ended(SENT), TOLD)
    await Outbox(mongo.db, Interrupted(store), ["deliveries"], Metrics()).flush("deliveries", row.ident)
    (found,) = await mongo.db.deliveries.find({}).to_list(None)
    assert found["pending"] == [] and "outbox" not in found and await traces(store) == []


async def test_of_questions_nothing_is_left_but_that_they_were_asked(requests: RequestStore) -> None:
    answered, waiting, later = request(3), request(4), request(7)
    other = request(4, conversation=OTHER_CONVERSATION)
    await requests.add([(one, NOW) for one in (answered, waiting, later, other)])
    assert await requests.end(answered, "answered", NOW, TOLD)
    assert await requests.erase(LANE, 6, LATER) == 1
    assert await requests.erase(LANE, 6, LATER) == 0
    assert await requests.head(LANE, 3) == later and await requests.head(ELSEWHERE, 3) == other
    assert [await requests.erased(one) for one in (answered, waiting, later, other)] == [True, True, False, False]
    assert await requests.erase(LANE, 7, LATER) == 1 and await requests.erase(ELSEWHERE, 7, LATER) == 1
    assert await traces(requests) == []


async def test_an_erased_question_is_neither_asked_again_nor_answered(requests: RequestStore) -> None:
    await requests.add([(request(3), NOW)])
    await requests.erase(LANE, 6, LATER)
    assert not await requests.add([(request(3), LATER)])
    assert not await requests.end(request(3), "answered", LATER, TOLD)
    assert await requests.head(LANE, 3) is None and await requests.load([3]) == [] and await traces(requests) == []


async def test_a_question_may_be_inserted_as_a_skeleton(requests: RequestStore) -> None:
    gone = replace(request(3), erased=True)
    assert list(await requests.add([(gone, NOW), (gone, NOW)])) == [gone.ident]
    assert not await requests.add([(request(3), NOW)])
    assert await requests.head(LANE, 3) is None and await requests.load([3]) == [] and await requests.erased(gone)
    assert await traces(requests) == []


async def test_erasures_only_rise_and_are_known_of_the_lanes_asked_for(erasures: ErasureStore) -> None:
    assert await erasures.raised({}, [LANE]) == {}
    assert await erasures.raised({LANE: 6}, [LANE, ELSEWHERE]) == {LANE: 6}
    assert await erasures.raised({LANE: 4, ELSEWHERE: 2}, [LANE]) == {LANE: 6}
    assert await erasures.raised({LANE: 9}, []) == {}
    assert await erasures.raised({}, {LANE, ELSEWHERE}) == {LANE: 9, ELSEWHERE: 2}


async def test_erasures_are_known_for_longer_than_a_dead_letter_can_be_replayed(mongo: Mongo) -> None:
    await MongoErasures(mongo).start()
    indexes = await mongo.db.erasures.index_information()
    assert indexes["kept"]["expireAfterSeconds"] > (30 + 7) * 24 * 3600
