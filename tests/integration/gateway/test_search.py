"""Search on a real MongoDB: what is said is found, in its workspace, page by page, at a bounded price."""

import asyncio
from collections.abc import Sequence

import pytest

from services.gateway.store import search
from services.gateway.store.documents import activity
from services.gateway.store.inbox import Inbox, InboxStore, Page, View
from services.gateway.store.search import SearchStore
from services.gateway.words import terms_of
from shared.contracts import events as ev
from shared.contracts.ids import message_id
from shared.contracts.resources import ConversationStatus
from shared.runtime.mongo import Mongo
from tests.integration.gateway.stores import Log, Model
from tests.unit.gateway.histories import Writer, contact_of

EVERYTHING = Page(200)


class Desk:
    """A log that grows, its read model, and a member who searches."""

    def __init__(self, mongo: Mongo) -> None:
        self.model = Model(mongo)
        self.store = SearchStore(mongo)
        self._heard: list[ev.CloudEvent] = []

    async def hear(self, *writers: Writer) -> None:
        events = [event for writer in writers for event in writer.events]
        start = len(self._heard)
        self._heard += events
        for writer in writers:
            writer.events = []
        await self.model.projector().handle(Log(self._heard).batch(start))

    async def search(self, q: str, inbox: Inbox | None = None) -> list[str]:
        found = await self.store.page(inbox or Inbox("acme", "grace"), EVERYTHING, terms_of(q))
        assert found.more is None
        return [state.id for state in found.states]


@pytest.fixture
def desk(mongo: Mongo) -> Desk:
    return Desk(mongo)


def talk(name: str, *texts: str, workspace: str = "acme", known_as: str | None = None) -> Writer:
    writer = Writer(name, workspace)
    writer.opened()
    if known_as:
        named = contact_of(name, workspace, 2, name=known_as)
        writer.next(ev.ContactUpdated(contact=named))
    for text in texts:
        writer.received(text)
    return writer


async def test_names_texts_and_notes_are_found_within_the_workspace(desk: Desk) -> None:
    ada = talk("ada", "Where is my refund?", known_as="Ada Lovelace")
    bob = talk("bob", "no refunds, please", known_as="Bob")
    foreign = talk("ada", "refund", workspace="other", known_as="Ada Lovelace")
    bob.noted()
    await desk.hear(ada, bob, foreign)
    assert set(await desk.search("refund")) == {ada.id, bob.id}
    assert await desk.search("LOVE") == [ada.id]
    assert await desk.search("ada refund where") == [ada.id]
    assert await desk.search("bob where") == []
    assert await desk.search("internal") == [bob.id]
    assert await desk.search("refund", Inbox("other", "grace")) == [foreign.id]
    assert await desk.search("refund", Inbox("third", "grace")) == []


async def test_what_is_edited_deleted_or_renamed_leaves_the_search(desk: Desk) -> None:
    ada = talk("ada", "first", "second", known_as="Ada")
    await desk.hear(ada)
    ada.next(ev.MessageWasEdited(message_id=message_id(ada.id, 4), text="changed"))
    ada.next(ev.MessageWasDeleted(message_id=message_id(ada.id, 5)))
    ada.next(ev.ContactUpdated(contact=contact_of("ada", version=3, name="Countess")))
    await desk.hear(ada)
    assert [await desk.search(q) for q in ("first", "second", "ada")] == [[], [], []]
    assert [await desk.search(q) for q in ("changed", "countess")] == [[ada.id], [ada.id]]
    ada.next(ev.MessageWasEdited(message_id=message_id(ada.id, 4), text=None))
    await desk.hear(ada)
    assert await desk.search("changed") == []


async def test_a_word_said_twice_stays_when_one_of_its_messages_goes(desk: Desk) -> None:
    ada = talk("ada", "hello", "hello")
    ada.next(ev.MessageWasDeleted(message_id=message_id(ada.id, 3)))
    await desk.hear(ada)
    assert await desk.search("hello") == [ada.id]


@pytest.mark.parametrize("few", [2_000, 1], ids=["looked up", "walked"])
@pytest.mark.parametrize("view", ["all", "mine", "unassigned"])
@pytest.mark.parametrize("status", [None, "open", "closed"])
async def test_a_search_is_what_a_reader_of_the_whole_list_would_pick(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, few: int, view: View, status: ConversationStatus | None
) -> None:
    monkeypatch.setattr(search, "FEW", few)
    monkeypatch.setattr(search, "CHUNK", 3)
    wanted = set()
    for number in range(24):
        writer = talk(f"c{number}", "common", "special" if number % 3 else "else")
        if number % 2:
            writer.assigned("grace")
        if number % 4 < 2:
            writer.next(ev.ConversationClosed(by="agent:grace"))
        wanted |= {writer.id} if number % 3 else set()
        await desk.hear(writer)
    inbox = Inbox("acme", "grace", view, status)
    everything = await InboxStore(desk.model.mongo).page(inbox, EVERYTHING)
    expected = [state.id for state in everything if state.id in wanted]
    assert expected
    found: list[str] = []
    after, pages = None, 0
    while pages == 0 or after is not None:
        part = await desk.store.page(inbox, Page(2, after), terms_of("SPECIAL comm"))
        assert len(part.states) <= 2
        found += [state.id for state in part.states]
        after, pages = part.more, pages + 1
    assert found == expected


async def test_a_walk_ends_and_says_how_far_it_came(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FEW", 1), ("CHUNK", 2), ("MOST_WALKED", 4)):
        monkeypatch.setattr(search, name, value)
    writers = [talk(f"c{number}", "common") for number in range(7)]
    await desk.hear(*writers)
    inbox = Inbox("acme", "grace")
    order = await InboxStore(desk.model.mongo).page(inbox, EVERYTHING)
    first = await desk.store.page(inbox, Page(10), terms_of("common"))
    assert ([s.id for s in first.states], first.more) == ([s.id for s in order[:4]], activity(order[3]))
    rest = await desk.store.page(inbox, Page(10, first.more), terms_of("common"))
    assert ([s.id for s in rest.states], rest.more) == ([s.id for s in order[4:]], None)


async def operations(mongo: Mongo) -> Sequence[dict[str, object]]:
    return await mongo.db["system.profile"].find({"ns": {"$regex": r"\.(words|conversations)$"}}).to_list(None)


async def test_no_search_scans_a_collection(desk: Desk) -> None:
    """Profiled: every read of a search uses an index and looks at no more keys than the messages it may look at."""
    await desk.hear(*(talk(f"c{number}", "common words here", "rare" if number == 7 else "x") for number in range(60)))
    db = desk.model.mongo.db
    await db.command({"profile": 2})
    try:
        for q in ("rare", "common", "common rare", "c x wo"):
            await desk.search(q)
    finally:
        await db.command({"profile": 0})
    seen = [row for row in await operations(desk.model.mongo) if row["op"] in ("query", "getmore")]
    assert len(seen) >= 8
    for row in seen:
        assert "COLLSCAN" not in str(row["planSummary"]), row
        assert int(str(row["keysExamined"])) <= 250, row


async def test_searches_meet_writes(desk: Desk) -> None:
    """A projector at work and readers beside it: every answer is of messages that were there."""
    ada = talk("ada", "hello")
    await desk.hear(ada)

    async def write() -> None:
        for number in range(10):
            ada.received(f"word{number}")
            await desk.hear(ada)

    async def read() -> None:
        for _ in range(20):
            assert await desk.search("hello") == [ada.id]

    await asyncio.gather(write(), read())
