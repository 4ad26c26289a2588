"""A read model beside the one that is kept: what is read of the one, what is written to the other, and how far it is.

Progress is in the new database: `rebuild` has the phase, `rebuild_parts` what was copied, in ranges of document keys,
and at which position of the log each range was copied.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from services.gateway.core import ConversationState, CounterName, CounterOf
from services.gateway.fold import Changes
from services.gateway.store.documents import (
    CONVERSATIONS,
    COUNTERS,
    EVENTS,
    POSITIONS,
    READ_MODEL,
    WORDS,
    conversation_document,
    conversation_state,
    counter_id,
    row_document,
    row_key,
    words_document,
)
from services.gateway.store.indexes import READ_MODEL_INDEXES, make_indexes
from shared.runtime.faults import Fenced
from shared.runtime.mongo import Database, Document, InsertOne, Mongo, Session

STATE = "rebuild"
PARTS = "rebuild_parts"
END = "\U0010ffff"
"""Behind every document key."""

Phase = Literal["archive", "tail"]


@dataclass(frozen=True, slots=True)
class Part:
    """Conversations with keys up to `last` (behind the part before) were copied when the log was at `positions`."""

    last: str
    positions: Mapping[str, int]
    events: int


@dataclass(frozen=True, slots=True)
class Archived:
    """A conversation's events in order of seq, each with its present status and files; how far it was read."""

    key: str
    events: Sequence[Mapping[str, Any]]
    read_up_to: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Some conversations in order of their keys, all of one moment. None of them: the archive ends here."""

    positions: Mapping[str, int]
    conversations: Sequence[Archived]


class RebuildStore:
    """The last one that began owns the target: what an earlier one still writes of the archive is Fenced."""

    def __init__(self, mongo: Mongo, source: Database, target: Database) -> None:
        self._owner = uuid4().hex
        self._mongo = mongo
        self._source = source
        self._target = target

    async def begin(self, fresh: bool) -> Phase:
        """Makes the target, or finds how far it is. `fresh`: whatever is there goes first. LookupError: it was made of
        another source."""
        if fresh:
            for name in (STATE, PARTS, *READ_MODEL):
                await self._target[name].drop()
        await make_indexes(self._target, READ_MODEL_INDEXES)
        found = await self._target[STATE].find_one({"_id": STATE})
        if found is None:
            found = {"_id": STATE, "source": self._source.name, "phase": "archive"}
            await self._target[STATE].insert_one(found)
        if found["source"] != self._source.name:
            raise LookupError(f"{self._target.name} was made of {found['source']}, not of {self._source.name}")
        await self._target[STATE].update_one({"_id": STATE}, {"$set": {"owner": self._owner}})
        phase: Phase = found["phase"]
        return phase

    async def parts(self) -> list[Part]:
        """In order of their keys."""
        found = await self._target[PARTS].find().sort("_id", 1).to_list(None)
        return [Part(row["_id"], dict(row["positions"]), row["events"]) for row in found]

    async def archived_about(self) -> int:
        """How many events the source has, without counting."""
        return await self._source[EVENTS].estimated_document_count()

    async def snapshot(self, after: str, events: int) -> Snapshot:
        """Whole conversations with keys behind `after`, of about so many events."""

        async def work(session: Session) -> Snapshot:
            places = await self._source[POSITIONS].find({}, session=session).to_list(None)
            rows = await self._rows({"$gt": _behind(after)}, events, session)
            if len(rows) == events:
                last = rows[-1]["_id"]
                rows += await self._rows({"$gt": last, "$lt": _behind(row_key(last)[0])}, 0, session)
            keys = dict.fromkeys(row_key(row["_id"])[0] for row in rows)
            marks = await self._marks(list(keys), session)
            grouped: dict[str, list[Mapping[str, Any]]] = {key: [] for key in keys}
            for row in rows:
                grouped[row_key(row["_id"])[0]].append(row["event"])
            archived = [Archived(key, found, marks.get(key, 0)) for key, found in grouped.items()]
            return Snapshot({place["_id"]: place["offset"] for place in places}, archived)

        return await self._mongo.transaction(work)

    async def fill(self, after: str, part: Part, filled: Sequence[Changes]) -> None:
        """Conversations of a part, complete, and the note that they are there: all of it or nothing. Repeatable."""
        rows = {"_id": {"$gt": _behind(after), "$lt": _behind(part.last)}}
        documents = {
            CONVERSATIONS: [conversation_document(state) for made in filled for state in made.conversations.values()],
            EVENTS: [row_document(row) for made in filled for row in made.rows.values()],
            WORDS: [words_document(row, words) for made in filled for row, words in made.words.items() if words],
            PARTS: [{"_id": part.last, "positions": list(part.positions.items()), "events": part.events}],
        }

        async def work(session: Session) -> None:
            await self._own({"phase": "archive"}, session)
            await self._target[CONVERSATIONS].delete_many({"_id": {"$gt": after, "$lte": part.last}}, session=session)
            await self._target[EVENTS].delete_many(rows, session=session)
            await self._target[WORDS].delete_many(rows, session=session)
            await self._target[PARTS].delete_many({"_id": part.last}, session=session)
            for collection, made in documents.items():
                await self._insert(collection, made, session)

        await self._mongo.transaction(work)

    async def states(self, after: str, limit: int) -> list[ConversationState]:
        """Conversations of the target in order of their keys."""
        found = self._target[CONVERSATIONS].find({"_id": {"$gt": after}}).sort("_id", 1).limit(limit)
        return [conversation_state(document) for document in await found.to_list(None)]

    async def close_archive(
        self, counters: Mapping[CounterOf, Counter[CounterName]], positions: Mapping[str, int]
    ) -> None:
        """What is counted over the copied conversations, and from where the log goes on: all of it or nothing."""
        counts = [{"_id": counter_id(whose), "workspace": whose[0], **names} for whose, names in counters.items()]
        places = [{"_id": place, "offset": offset} for place, offset in positions.items()]

        async def work(session: Session) -> None:
            await self._own({"phase": "tail"}, session)
            for collection, rows in ((COUNTERS, counts), (POSITIONS, places)):
                await self._target[collection].delete_many({}, session=session)
                await self._insert(collection, rows, session)

        await self._mongo.transaction(work)

    async def _rows(self, ids: Document, limit: int, session: Session) -> list[Document]:
        found = self._source[EVENTS].find({"_id": ids}, {"event": 1}, session=session).sort("_id", 1)
        return await found.limit(limit).to_list(None)

    async def _marks(self, keys: list[str], session: Session) -> dict[str, int]:
        found = self._source[CONVERSATIONS].find({"_id": {"$in": keys}}, {"read_up_to": 1}, session=session)
        return {row["_id"]: row["read_up_to"] for row in await found.to_list(None)}

    async def _own(self, change: Document, session: Session) -> None:
        """Fenced where somebody else has begun since. Two who write at once conflict here."""
        mine = {"_id": STATE, "owner": self._owner}
        owned = await self._target[STATE].update_one(mine, {"$set": change, "$inc": {"writes": 1}}, session=session)
        if not owned.matched_count:
            raise Fenced(f"another process goes on with {self._target.name}: leave it to that one")

    async def _insert(self, collection: str, rows: Sequence[Document], session: Session) -> None:
        if rows:
            writes = [InsertOne(row) for row in rows]
            await self._target[collection].bulk_write(writes, ordered=False, session=session)


def _behind(key: str) -> str:
    """Behind all rows of this conversation and before those of the next; `;` follows `:` in the order of characters."""
    return f"{key};" if key else ""
