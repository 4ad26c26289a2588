"""After a restore: what ended stays ended, what may have been handed over isn't sent blindly, the rest goes on."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from services.dispatch.core.bot import Request
from services.dispatch.core.delivery import Delivery
from services.dispatch.core.plan import Attempt, Finish, plan
from services.dispatch.restoring import Fate, Restore, Stores, Summary
from shared.contracts.outbound import BotFence, BotRequest, DeliverMessage, EraseConversation
from shared.contracts.topics import BOT_REQUESTS, CHANNEL_OUTBOUND
from shared.contracts.wire import encode
from shared.runtime.records import Record
from tests.unit.dispatch.builders import CONVERSATION, NOW, claim, delivery, message, request, sight
from tests.unit.dispatch.memory import MemoryDeliveries, MemoryErasures, MemoryRequests

Asked = DeliverMessage | BotFence | BotRequest | EraseConversation


@dataclass
class Topics:
    records: list[Record] = field(default_factory=list)

    def add(self, *items: Asked) -> None:
        for item in items:
            topic = BOT_REQUESTS if isinstance(item, BotRequest) else CHANNEL_OUTBOUND
            self.records.append(Record(topic, 3, len(self.records), b"", encode(item), {}, 0))

    async def chunks(self, topic: str) -> AsyncIterator[Sequence[Record]]:
        yield [record for record in self.records if record.topic == topic]


@dataclass
class Office:
    """A dispatch whose database is an older one."""

    topics: Topics = field(default_factory=Topics)
    deliveries: MemoryDeliveries = field(default_factory=MemoryDeliveries)
    requests: MemoryRequests = field(default_factory=MemoryRequests)
    erasures: MemoryErasures = field(default_factory=MemoryErasures)
    known: dict[str, Fate] = field(default_factory=dict)
    answers: set[str] = field(default_factory=set)

    async def fates(self, messages: Sequence[DeliverMessage]) -> Mapping[str, Fate]:
        return {one.message_id: self.known[one.message_id] for one in messages if one.message_id in self.known}

    async def answered(self, requests: Sequence[Request]) -> set[str]:
        return {one.ident for one in requests} & self.answers

    async def restore(self, unread: int = 1_000) -> Summary:
        stores = Stores(self.deliveries, self.requests, self.erasures)
        return await Restore(stores, self, NOW).run(self.topics, {3: unread})

    def one(self) -> Delivery:
        [found] = self.deliveries.rows.values()
        return found


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.mark.parametrize("ending", ["sent", "failed", "unknown"])
async def test_a_delivery_that_was_reported_ended_with_that(office: Office, ending: str) -> None:
    office.topics.add(message(7))
    office.known[message(7).message_id] = Fate(ending, 3, "p1")  # type: ignore[arg-type]
    assert await office.restore() == Summary(ended=1)
    found = office.one()
    assert (found.state, found.attempt, found.partition) == (ending, 3, 3)
    assert found.end is not None and found.end.provider_message_id == "p1"


@pytest.mark.parametrize("stored", [True, False])
async def test_what_nobody_reported_is_sent_again_only_where_the_channel_can_tell(office: Office, stored: bool) -> None:
    """Whether the backup has it as waiting, or not at all."""
    office.topics.add(message(7))
    if stored:
        office.deliveries.rows[delivery(message(7)).ident] = delivery(message(7))
    assert await office.restore() == Summary(interrupted=1)
    again, given_up = plan(office.one(), sight(idempotent=True)), plan(office.one(), sight(idempotent=False))
    assert isinstance(again, Attempt) and again.after.record == message(7)
    assert isinstance(given_up, Finish) and given_up.after.state == "unknown"


async def test_an_open_delivery_of_the_backup_that_has_ended_since_ends(office: Office) -> None:
    attempting = delivery(message(7)).claimed(claim())
    office.deliveries.rows[attempting.ident] = attempting
    office.known[message(7).message_id] = Fate("sent", 1)
    await office.restore()
    assert office.one().state == "sent"
    assert not office.deliveries.pending, "it is told already"


async def test_what_dispatch_cannot_have_read_is_left_to_it(office: Office) -> None:
    office.topics.add(message(7), message(8))
    assert await office.restore(unread=1) == Summary(interrupted=1)
    assert office.one().record == message(7)


async def test_fences_stand_again(office: Office) -> None:
    office.topics.add(*(BotFence(workspace="acme", conversation_id=CONVERSATION, bot_epoch=n) for n in (1, 3, 2)))
    await office.restore()
    assert office.deliveries.fences == {f"acme:{CONVERSATION}": 3}


async def test_a_question_with_an_answer_is_asked_no_more_and_others_are_open(office: Office) -> None:
    first, second, third = (request(seq) for seq in (4, 5, 6))
    office.topics.add(first.record, second.record)
    office.requests.rows[third.ident] = (third, NOW)
    office.answers = {first.ident, third.ident}
    assert await office.restore() == Summary(unanswered=1)
    assert office.requests.ended == {first.ident: "answered", third.ident: "answered"}
    assert second.ident in office.requests.rows


async def test_twice_is_as_once(office: Office) -> None:
    office.topics.add(message(7), message(8), request().record)
    office.known[message(8).message_id] = Fate("sent", 1)
    await office.restore()
    before = dict(office.deliveries.rows)
    assert (await office.restore()).interrupted == 0
    assert office.deliveries.rows == before


async def test_what_was_erased_since_the_backup_is_erased_again(office: Office) -> None:
    order = EraseConversation(workspace="acme", conversation_id=message(7).conversation_id, up_to_seq=8)
    office.topics.add(message(7), order, message(9), request().record)
    office.topics.records.append(Record(BOT_REQUESTS, 3, 9, b"", encode(order), {}, 0))
    for _ in range(2):
        await office.restore()
        erased, later = sorted(office.deliveries.rows.values(), key=lambda one: one.record.seq)
        assert (erased.state, erased.record.text, erased.record.to) == ("failed", None, "erased")
        assert (later.state, later.record.text) == ("attempting", message(9).text)
        assert not office.requests.rows
