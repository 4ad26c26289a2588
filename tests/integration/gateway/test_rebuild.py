"""A read model made anew on a real MongoDB equals the one that was kept, whatever happens meanwhile."""

import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway import rebuilding
from services.gateway.projector import position_of
from services.gateway.rebuilding import Rebuild
from services.gateway.store.documents import READ_MODEL
from services.gateway.store.projection import ProjectionStore
from services.gateway.store.rebuild import Part, RebuildStore
from shared.contracts import events as ev
from shared.contracts.ids import message_id
from shared.contracts.resources import Attachment
from shared.runtime.faults import Fenced
from shared.runtime.mongo import Database, Mongo
from shared.runtime.progress import Progress, Tell
from shared.runtime.records import Record
from tests.integration.gateway.stores import Log, Model
from tests.unit.gateway.histories import Event, Writer, histories

PENDING = Attachment(media_id="3b1f0c5e-6a5b-4a3c-9a52-0f0000000001", kind="image", content_type="image/png",
                     filename="a.png", size=1, duration_s=None, status="pending")  # fmt: skip


class Dies(Exception):
    """The process ends here."""


class Living:
    """A log that grows while it is read, and the model that is kept of it."""

    def __init__(self, mongo: Mongo, events: Sequence[Event]) -> None:
        self.model = Model(mongo)
        self._records = Log(events).records
        self._applied = 0
        self.known = 0

    def position_of(self, partition: int) -> str:
        return position_of(partition, "life-1")

    async def ends(self) -> dict[int, int]:
        return {0: self.known}

    async def read(self, partition: int, start: int, end: int, most: int) -> list[Record]:
        return self._records[start:end][:most]

    async def grow(self, known: int, applied: int | None = None) -> None:
        """The log has its first `known` events; the kept model has the first `applied` of them."""
        self.known = max(self.known, min(known, len(self._records)))
        applied = self.known if applied is None else min(applied, self.known)
        if applied > self._applied:
            await self.model.projector().handle(Log.of(self._records[self._applied : applied]))
            self._applied = applied

    @property
    def length(self) -> int:
        return len(self._records)


@pytest.fixture
async def target(mongo: Mongo) -> AsyncIterator[Database]:
    database = mongo.beside(f"{mongo.db.name}_new")
    yield database
    for name in (*READ_MODEL, "rebuild", "rebuild_parts"):
        await database[name].drop()


def rebuild(mongo: Mongo, target: Database, living: Living, tell: Tell | None = None) -> Rebuild:
    store = RebuildStore(mongo, mongo.db, target)
    return Rebuild(store, ProjectionStore(mongo, target), living, tell or (lambda progress: None))


async def content(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Without counters that are 0: the kept model has them of what has ended."""
    found = {name: await database[name].find().sort("_id", 1).to_list(None) for name in READ_MODEL}
    counts = [{name: count for name, count in row.items() if count != 0} for row in found["counters"]]
    return found | {"counters": [row for row in counts if len(row) > 2]}


def rich(workspace: str = "acme") -> Writer:
    """Marks, files, edits, deletions, statuses, outcomes: also what the archive doesn't have."""
    writer = Writer("rich", workspace)
    writer.opened(bot=True)
    writer.received("with a file", [PENDING])
    ready = PENDING.model_copy(update={"status": "ready"})
    place = {"conversation_id": writer.id, "message_id": message_id(writer.id, 3)}
    writer.beside(ev.MediaReady(media_id=PENDING.media_id, attachment=ready, **place))
    writer.sent("grace", "an answer", final=True)
    writer.next(ev.MessageStatusChanged(message_id=message_id(writer.id, 4), status="delivered"))
    writer.received("more")
    writer.received("and more")
    writer.read("ada", 6)
    writer.read("grace", 99)
    writer.received("unread")
    writer.next(ev.MessageWasEdited(message_id=message_id(writer.id, 6), text="changed"))
    writer.next(ev.MessageWasDeleted(message_id=message_id(writer.id, 8)))
    writer.noted()
    return writer


async def empty(*databases: Database) -> None:
    for database in databases:
        for name in (*READ_MODEL, "rebuild", "rebuild_parts"):
            await database[name].delete_many({})


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(history=histories(), seed=st.integers(0, 10**6))
async def test_a_rebuilt_model_equals_the_kept_one_with_kills_and_news_meanwhile(
    mongo: Mongo, target: Database, history: list[Event], seed: int
) -> None:
    """A process dies at any write; whenever a next one begins, the log and the kept model have gone on."""
    await empty(mongo.db, target)
    dice = random.Random(seed)
    living = Living(mongo, [*history, *rich().events, *rich("other").events])
    await living.grow(dice.randint(0, living.length))
    kills = 0
    while True:
        dying = _Dying(mongo, target, dice.randint(1, 12) if kills < 6 else None)
        store = _DyingCopy(dying, mongo.db, target, living, dice)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(rebuilding, "EVENTS_AT_ONCE", dice.randint(2, 9))
            try:
                await Rebuild(store, dying, living, lambda progress: None).run()
                break
            except Dies:
                kills += 1
        await living.grow(living.known + dice.randint(0, 5), dice.randint(0, living.length))
    await living.grow(living.length)
    await rebuild(mongo, target, living).run()
    assert await content(target) == await content(mongo.db)


class _Dying(ProjectionStore):
    """Ends the process after so many writes, before or after the last one."""

    def __init__(self, mongo: Mongo, target: Database, writes: int | None) -> None:
        super().__init__(mongo, target)
        self.mongo = mongo
        self.left = writes

    def step(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                raise Dies

    async def apply(self, changes: Any, moves: Any) -> None:
        self.step()
        await super().apply(changes, moves)
        self.step()


class _DyingCopy(RebuildStore):
    def __init__(self, dying: _Dying, source: Database, target: Database, living: Living, dice: random.Random) -> None:
        super().__init__(dying.mongo, source, target)
        self._dying, self._living, self._dice = dying, living, dice

    async def snapshot(self, after: str, events: int) -> Any:
        await self._living.grow(self._living.known + self._dice.randint(0, 3))
        return await super().snapshot(after, events)

    async def _insert(self, collection: str, rows: Any, session: Any) -> None:
        self._dying.step()
        await super()._insert(collection, rows, session)

    async def close_archive(self, counters: Any, positions: Any) -> None:
        self._dying.step()
        await super().close_archive(counters, positions)
        self._dying.step()


async def test_what_the_archive_lacks_is_there(mongo: Mongo, target: Database) -> None:
    living = Living(mongo, rich().events)
    await living.grow(living.length)
    await rebuild(mongo, target, living).run()
    [state] = await target["conversations"].find().to_list(None)
    assert (state["read_up_to"], state["settled"], state["received"]) == (7, 3, 4)
    row: Any = await target["events"].find_one({"_id": {"$regex": ":0*3$"}})
    assert row["event"]["data"]["message"]["attachments"][0]["status"] == "ready"
    assert await content(target) == await content(mongo.db)


async def test_a_finished_one_goes_on_with_the_tail_and_a_fresh_one_begins_anew(mongo: Mongo, target: Database) -> None:
    living = Living(mongo, [*rich().events, *rich("other").events])
    await living.grow(5)
    told: list[Progress] = []
    await rebuild(mongo, target, living).run()
    await living.grow(living.length)
    await rebuild(mongo, target, living, told.append).run()
    assert {progress.phase for progress in told} == {"tail"}
    await target["conversations"].delete_many({})
    await rebuild(mongo, target, living, told.append).run(fresh=True)
    assert {progress.phase for progress in told} == {"tail", "archive"}
    assert await content(target) == await content(mongo.db)


async def test_another_source_is_refused(mongo: Mongo, target: Database) -> None:
    await RebuildStore(mongo, mongo.db, target).begin(fresh=False)
    with pytest.raises(LookupError):
        await RebuildStore(mongo, mongo.beside("elsewhere"), target).begin(fresh=False)


async def test_of_two_that_copy_at_once_the_later_one_goes_on(mongo: Mongo, target: Database) -> None:
    """The earlier one has read a part and is slow to write it; meanwhile the log and the other one go on."""
    living = Living(mongo, [*rich().events, *rich("other").events])
    await living.grow(6)
    earlier, later = RebuildStore(mongo, mongo.db, target), RebuildStore(mongo, mongo.db, target)
    await earlier.begin(fresh=False)
    read = await earlier.snapshot("", 10)
    part = Part(read.conversations[-1].key, read.positions, 1)
    await living.grow(living.length)
    await Rebuild(later, ProjectionStore(mongo, target), living, lambda progress: None).run()
    with pytest.raises(Fenced):
        await earlier.fill("", part, [rebuilding.copied(one) for one in read.conversations])
    with pytest.raises(Fenced):
        await earlier.close_archive({}, read.positions)
    assert await content(target) == await content(mongo.db)


async def test_a_rebuild_and_a_projector_may_both_keep_the_new_model(mongo: Mongo, target: Database) -> None:
    living = Living(mongo, rich().events)
    await living.grow(4)
    following = rebuild(mongo, target, living)
    await following.run()
    await living.grow(living.length)
    await living.model.projector(ProjectionStore(mongo, target)).handle(Log(rich().events).batch(2, 9))
    assert await following.catch_up() > 0
    assert await content(target) == await content(mongo.db)


async def test_what_a_killed_try_left_of_a_deleted_message_is_gone(mongo: Mongo, target: Database) -> None:
    writer = Writer()
    writer.opened()
    writer.received("secret")
    writer.next(ev.MessageWasDeleted(message_id=message_id(writer.id, 3)))
    living = Living(mongo, writer.events)
    await living.grow(3)
    await rebuild(mongo, target, living).run()
    await target["rebuild"].delete_many({})  # as if it had died before it noted anything
    await target["rebuild_parts"].delete_many({})
    await living.grow(4)
    assert await target["words"].count_documents({"words": "secret"}) == 1
    await rebuild(mongo, target, living).run()
    assert await target["words"].count_documents({}) == 0
    assert await content(target) == await content(mongo.db)
