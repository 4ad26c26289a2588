"""The store's suite: in memory, on Motor, on PyMongo's own client."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from services.routing.core import State
from services.routing.core.state import Answer, Book, Delivery, Parked, Sent
from services.routing.documents import Document, Entry
from services.routing.memory import Remembered
from services.routing.store import Conflict, States, Store
from shared.contracts.events import First
from shared.engines.addresses import Addresses
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.records import Outgoing
from tests.unit.routing.build import after, bot_reply, message, reply
from tests.unit.routing.twins import MemoryStates


@pytest_asyncio.fixture(params=["memory", "motor", "pymongo"])
async def states(request: pytest.FixtureRequest) -> AsyncIterator[States]:
    if request.param == "memory":
        yield MemoryStates()
        return
    engines: Addresses = request.getfixturevalue("engines")
    prefix: str = request.getfixturevalue("mongo_prefix")
    mongo = Mongo(engines.mongo, f"{prefix}_routing", request.param, Metrics())
    await mongo.start()
    store = Store(mongo)
    await store.start()
    yield store
    await mongo.stop()


def full() -> State:
    """A state with something in every place."""
    state = after(message(bot_kind="webhook", sender={"name": "Ada"}), bot_reply("b", 0, "hi"), reply(disable_bot=True))
    book = Book("webhook", "Ada", frozenset({"email", "name"}), (Delivery(4, 1, "p1"),), (Parked("p2", "read", None),))
    return replace(state, book=book, answers=(Answer(7, "grace"),), sent=(Sent(4, "read"),), needs_human=True)


def document(key: str = "acme:one", version: int = 1, **fields: object) -> Document:
    record = Outgoing("workspace.events", "acme", b"\x00{\xff}", (("type", b"x"), ("seq", b"1")))
    empty = Outgoing("contacts", "acme:c", None)
    pending = (Entry("channel.inbound/a/3", 2**40, 5, record), Entry("channel.inbound/a/3", 2**40, 5, empty))
    whole = Document(key, version, {"channel.inbound/a/3": 2**40, "conversation.commands/b/3": 0}, pending, full())
    return replace(whole, **fields)  # type: ignore[arg-type]


FIRST = First(type="relaydesk.message.sent.v1", seq=5, data={"message": {"text": "👋\x00", "size": 2**53, "no": None}})


async def test_an_erasure_forgets_the_outcomes_of_its_commands_and_knows_them_still(states: States) -> None:
    outcome = Remembered("acme:one:command:1", first=FIRST)
    others = [Remembered("acme:one:message:1", seq=3), Remembered("acme:one2:command:1", first=FIRST)]
    await states.save([document()], [outcome, *others])
    fresh = Remembered("acme:one:command:2", first=FIRST)
    await states.save([document(version=2)], [fresh], ["acme:one"])
    keys = [one.key for one in (outcome, *others, fresh)]
    known = {one.key: one for one in (replace(outcome, first=None), *others, fresh)}
    assert await states.remembered(keys) == known


async def test_documents_come_back_as_they_were(states: States) -> None:
    written = [document(), document("acme:two", state=None, pending=())]
    await states.save(written, [])
    assert await states.documents(["acme:one", "acme:two", "acme:three"]) == {one.key: one for one in written}
    assert await states.documents([]) == {}


async def test_memories_come_back_as_they_were(states: States) -> None:
    memories = [Remembered("acme:one:message:👋.$\x00", seq=3), Remembered("acme:one:command:c", first=FIRST)]
    await states.save([document()], memories)
    found = await states.remembered([*(one.key for one in memories), "acme:one:edit:x"])
    assert found == {one.key: one for one in memories}
    assert await states.remembered([]) == {}


async def test_the_next_version_replaces_the_one_before(states: States) -> None:
    await states.save([document()], [])
    await states.save([document(version=2, pending=(), state=after(message()))], [])
    found = await states.documents(["acme:one"])
    assert found["acme:one"] == document(version=2, pending=(), state=after(message()))


@pytest.mark.parametrize("version", [1, 2, 4])
async def test_another_version_than_the_next_is_a_conflict_and_nothing_is_written(states: States, version: int) -> None:
    await states.save([document()], [])
    await states.save([document(version=2)], [])
    with pytest.raises(Conflict):
        await states.save([document("acme:other"), document(version=version)], [Remembered("k", seq=1)])
    assert (await states.documents(["acme:one"]))["acme:one"].version == 2
    assert await states.documents(["acme:other"]) == {}
    assert await states.remembered(["k"]) == {}


async def test_a_document_that_is_gone_has_no_next_version(states: States) -> None:
    with pytest.raises(Conflict):
        await states.save([document(version=2)], [])


async def test_an_id_that_is_known_already_is_a_conflict_and_nothing_is_written(states: States) -> None:
    await states.save([document()], [Remembered("k", seq=1)])
    with pytest.raises(Conflict):
        await states.save([document(version=2)], [Remembered("new", seq=2), Remembered("k", seq=2)])
    assert (await states.documents(["acme:one"]))["acme:one"].version == 1
    assert await states.remembered(["new"]) == {}


async def test_only_what_has_no_conversation_goes_away_by_itself(engines: Addresses, mongo_prefix: str) -> None:
    mongo = Mongo(engines.mongo, f"{mongo_prefix}_routing", "motor", Metrics())
    store = Store(mongo)
    await store.start()
    await store.save([document(), document("acme:nobody", state=None)], [Remembered("k", seq=1)])
    conversations = {row["_id"]: row async for row in mongo.db["conversations"].find()}
    assert "gone_at" not in conversations["acme:one"]
    assert "gone_at" in conversations["acme:nobody"]
    assert "gone_at" in (await mongo.db["seen"].find_one({}) or {})
    for collection in ("conversations", "seen"):
        indexes = await mongo.db[collection].index_information()
        assert indexes["gone_at_1"]["expireAfterSeconds"] == 0
    await mongo.stop()
