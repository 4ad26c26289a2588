"""The service's database: `conversations` (documents) and `seen` (what is remembered of ids, for 15 days).

Knows the shape of documents and how they are written at once; knows no rule and no record.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from pydantic import TypeAdapter

from services.routing.core import State
from services.routing.documents import Document, Entry
from services.routing.memory import Remembered, command_prefix
from shared.contracts import wire
from shared.contracts.events import First
from shared.runtime.faults import Fenced
from shared.runtime.mongo import Document as Row
from shared.runtime.mongo import IndexModel, InsertOne, Mongo, PyMongoError, ReplaceOne, Session, is_duplicate
from shared.runtime.records import Outgoing

REMEMBERED_FOR = timedelta(days=15)
END = "\U0010ffff"
"""Behind every id."""
_STATE: TypeAdapter[State] = TypeAdapter(State)


class Conflict(Fenced):
    """Somebody else has written one of these documents: nothing of ours was."""


class States(Protocol):
    """What routing needs to keep. `shared.runtime.faults.Transient` where the database is away."""

    async def documents(self, keys: Sequence[str]) -> dict[str, Document]:
        """Those that exist, by key."""

    async def remembered(self, keys: Sequence[str]) -> dict[str, Remembered]:
        """What is remembered under these keys, for 15 days at least."""

    async def save(
        self, writes: Sequence[Document], remembered: Sequence[Remembered], erased: Sequence[str] = ()
    ) -> None:
        """All or nothing: every write only where the stored version is the one before (1: where there is none), every
        memory only where there is none. Of the documents `erased` no outcome of a command stays remembered but those
        given now. Raises Conflict. After any other error the outcome is unknown."""


class Store:
    """States in MongoDB. A component, after its Mongo."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._conversations = mongo.db["conversations"]
        self._seen = mongo.db["seen"]

    async def start(self) -> None:
        await self._conversations.create_indexes([_expiry("gone_at")])
        await self._seen.create_indexes([_expiry("gone_at")])

    async def stop(self) -> None:
        """Nothing is open."""

    async def documents(self, keys: Sequence[str]) -> dict[str, Document]:
        rows = await self._conversations.find({"_id": {"$in": list(keys)}}).to_list(None) if keys else []
        return {row["_id"]: _document(row) for row in rows}

    async def remembered(self, keys: Sequence[str]) -> dict[str, Remembered]:
        rows = await self._seen.find({"_id": {"$in": list(keys)}}).to_list(None) if keys else []
        return {row["_id"]: _memory(row) for row in rows}

    async def save(
        self, writes: Sequence[Document], remembered: Sequence[Remembered], erased: Sequence[str] = ()
    ) -> None:
        gone_at = datetime.now(UTC) + REMEMBERED_FOR
        rows = [_row(document, gone_at) for document in writes]
        seen = [_memory_row(one, gone_at) for one in remembered]

        async def work(session: Session) -> None:
            await self._write(rows, session)
            for key in erased:
                await self._forget_outcomes(key, session)
            if seen:
                await self._seen.insert_many(seen, ordered=False, session=session)

        try:
            await self._mongo.transaction(work)
        except PyMongoError as error:
            if is_duplicate(error):
                raise Conflict("somebody else has written this conversation first") from error
            raise

    async def _write(self, rows: Sequence[Row], session: Session) -> None:
        new = [InsertOne(row) for row in rows if row["version"] == 1]
        changed = [
            ReplaceOne({"_id": row["_id"], "version": row["version"] - 1}, row) for row in rows if row["version"] > 1
        ]
        done = await self._conversations.bulk_write([*new, *changed], ordered=False, session=session)
        if done.matched_count != len(changed):
            raise Conflict(f"{len(changed) - done.matched_count} conversations have another version")

    async def _forget_outcomes(self, key: str, session: Session) -> None:
        prefix = command_prefix(key)
        commands = {"_id": {"$gte": prefix, "$lt": prefix + END}}
        await self._seen.update_many(commands, {"$set": {"first": None}}, session=session)


def _expiry(name: str) -> IndexModel:
    return IndexModel([(name, 1)], expireAfterSeconds=0)


def _row(document: Document, gone_at: datetime) -> Row:
    row: Row = {
        "_id": document.key,
        "version": document.version,
        "applied": [[source, offset] for source, offset in document.applied.items()],
        "pending": [_entry_row(entry) for entry in document.pending],
        "state": None if document.state is None else _STATE.dump_python(document.state, mode="json"),
    }
    # A command to nowhere leaves a document without a state: it may go when its command is forgotten.
    return row if document.state is not None else {**row, "gone_at": gone_at}


def _entry_row(entry: Entry) -> Row:
    record = entry.record
    return {
        "source": entry.source,
        "offset": entry.offset,
        "at_ms": entry.at_ms,
        "topic": record.topic,
        "key": record.key,
        "value": record.value,
        "headers": [[name, value] for name, value in record.headers],
    }


def _document(row: Mapping[str, Any]) -> Document:
    state = None if row["state"] is None else _STATE.validate_python(row["state"], strict=False)
    return Document(row["_id"], row["version"], dict(row["applied"]), tuple(_entries(row["pending"])), state)


def _entries(rows: Iterable[Mapping[str, Any]]) -> Iterable[Entry]:
    for row in rows:
        headers = tuple((name, value) for name, value in row["headers"])
        record = Outgoing(row["topic"], row["key"], row["value"], headers)
        yield Entry(row["source"], row["offset"], row["at_ms"], record)


def _memory_row(one: Remembered, gone_at: datetime) -> Row:
    return {
        "_id": one.key,
        "gone_at": gone_at,
        "seq": one.seq,
        "first": None if one.first is None else wire.encode(one.first),
    }


def _memory(row: Mapping[str, Any]) -> Remembered:
    first = None if row["first"] is None else wire.decode_as(First, row["first"])
    return Remembered(row["_id"], row["seq"], first)
