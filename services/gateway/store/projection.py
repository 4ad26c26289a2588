"""The projector's side of the read model: what a batch needs to know, and one transaction for all that it changes."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from services.gateway.core import ConversationState, CounterName, CounterOf, Outcome
from services.gateway.fold import AttachmentPatch, Changes, Divergence, RowFacts, RowId, StatusPatch
from services.gateway.store.commands import COMMANDS, decided, forgotten
from services.gateway.store.documents import (
    CONVERSATIONS,
    COUNTERS,
    EVENTS,
    POSITIONS,
    WORDS,
    conversation_document,
    conversation_state,
    counter_id,
    row_document,
    row_id,
    row_key,
    words_document,
)
from shared.runtime.faults import Fenced
from shared.runtime.mongo import (
    Database,
    DeleteOne,
    Document,
    InsertOne,
    Mongo,
    PyMongoError,
    ReplaceOne,
    Session,
    UpdateOne,
    is_duplicate,
)


@dataclass(frozen=True, slots=True)
class Move:
    """A partition's position before and after a batch: the offset of the first event that is not applied."""

    partition: str
    before: int
    after: int


class ProjectionStore:
    """Every call raises what `is_away` knows while MongoDB is away. `model`: where the read model is, when it is not in
    the gateway's own database; outcomes are always told to the commands there."""

    def __init__(self, mongo: Mongo, model: Database | None = None) -> None:
        self._mongo = mongo
        self._db = mongo.db if model is None else model

    async def positions(self, partitions: Collection[str]) -> dict[str, int]:
        """0 where nothing was ever applied."""
        found = await self._db[POSITIONS].find({"_id": {"$in": list(partitions)}}).to_list(None)
        return dict.fromkeys(partitions, 0) | {document["_id"]: document["offset"] for document in found}

    async def places(self) -> dict[str, int]:
        """Every partition's position, of former lives of the topic, too."""
        return {document["_id"]: document["offset"] for document in await self._db[POSITIONS].find({}).to_list(None)}

    async def conversations(self, keys: Collection[str]) -> dict[str, ConversationState]:
        found = await self._db[CONVERSATIONS].find({"_id": {"$in": list(keys)}}).to_list(None)
        return {document["_id"]: conversation_state(document) for document in found}

    async def rows(self, rows: Collection[RowId]) -> dict[RowId, RowFacts]:
        if not rows:
            return {}
        wanted = {"_id": {"$in": [row_id(row) for row in rows]}}
        found = await self._db[EVENTS].find(wanted, {"causation_id": 1, "received": 1}).to_list(None)
        return {row_key(row["_id"]): RowFacts(row["causation_id"], row["received"]) for row in found}

    async def apply(self, changes: Changes, moves: Sequence[Move]) -> None:
        """All of it or nothing. Fenced where another projector was faster; Divergence where the archive is ahead of
        its conversation."""

        async def work(session: Session) -> None:
            await self._move(moves, session)
            await self._put_conversations(changes, session)
            await self._erase(changes.erased, session)
            await self._archive(changes, session)
            await self._index(changes.words, session)
            await self._count(changes.counters, session)
            await self._decide(changes.outcomes, session)
            await self._forget_outcomes(changes.erased, session)

        await self._mongo.transaction(work)

    async def _move(self, moves: Sequence[Move], session: Session) -> None:
        """First of all: who loses the race for a partition must not get any further."""
        for move in moves:
            at = {"_id": move.partition, "offset": move.before}
            change = {"$set": {"offset": move.after}}
            try:
                done = await self._db[POSITIONS].update_one(at, change, upsert=move.before == 0, session=session)
            except PyMongoError as error:
                if is_duplicate(error):
                    raise Fenced(f"{move.partition} was begun by another projector") from error
                raise
            if not done.matched_count and done.upserted_id is None:
                raise Fenced(f"{move.partition} is not at {move.before} any more")

    async def _put_conversations(self, changes: Changes, session: Session) -> None:
        writes = [
            ReplaceOne({"_id": key, "seq": changes.before[key]}, conversation_document(state), changes.before[key] == 0)
            for key, state in changes.conversations.items()
        ]
        if not writes:
            return
        try:
            done = await self._db[CONVERSATIONS].bulk_write(writes, ordered=False, session=session)
        except PyMongoError as error:
            if is_duplicate(error):
                raise Fenced("a conversation was changed by another projector") from error
            raise
        if done.matched_count + done.upserted_count != len(writes):
            raise Fenced("a conversation was changed by another projector")

    async def _erase(self, erased: Mapping[str, int], session: Session) -> None:
        for key, seq in erased.items():
            before = {"_id": {"$gte": row_id((key, 0)), "$lt": row_id((key, seq))}}
            await self._db[EVENTS].delete_many(before, session=session)
            await self._db[WORDS].delete_many(before, session=session)

    async def _archive(self, changes: Changes, session: Session) -> None:
        rows = [InsertOne(row_document(row)) for row in changes.rows.values()]
        patches = [_patch(patch) for patch in changes.patches]
        if not rows and not patches:
            return
        try:
            await self._db[EVENTS].bulk_write([*rows, *patches], ordered=True, session=session)
        except PyMongoError as error:
            if is_duplicate(error):
                raise Divergence("the archive has an event that its conversation does not know") from error
            raise

    async def _index(self, words: Mapping[RowId, Sequence[str]], session: Session) -> None:
        writes: list[ReplaceOne[Document] | DeleteOne] = [
            ReplaceOne({"_id": row_id(row)}, words_document(row, found), upsert=True)
            if found
            else DeleteOne({"_id": row_id(row)})
            for row, found in words.items()
        ]
        if writes:
            await self._db[WORDS].bulk_write(writes, ordered=False, session=session)

    async def _count(self, counters: Mapping[CounterOf, Counter[CounterName]], session: Session) -> None:
        writes = [
            UpdateOne(
                {"_id": counter_id(whose)}, {"$inc": changed, "$setOnInsert": {"workspace": whose[0]}}, upsert=True
            )
            for whose, deltas in counters.items()
            if (changed := {name: delta for name, delta in deltas.items() if delta})
        ]
        if writes:
            await self._db[COUNTERS].bulk_write(writes, ordered=False, session=session)

    async def _decide(self, outcomes: Mapping[str, Outcome], session: Session) -> None:
        """Commands of others (the bot's) have no document here: nothing matches."""
        if outcomes:
            writes = [decided(outcome) for outcome in outcomes.values()]
            await self._mongo.db[COMMANDS].bulk_write(writes, ordered=False, session=session)

    async def _forget_outcomes(self, erased: Mapping[str, int], session: Session) -> None:
        """Those of this batch included."""
        for key in erased:
            await self._mongo.db[COMMANDS].update_many(*forgotten(key), session=session)


def _patch(patch: StatusPatch | AttachmentPatch) -> UpdateOne:
    match patch:
        case StatusPatch(row=row, status=status):
            return UpdateOne({"_id": row_id(row)}, {"$set": {"event.data.message.status": status}})
        case AttachmentPatch(row=row, media_id=media, attachment=attachment):
            place = "event.data.message.attachments"
            change = {f"{place}.$": attachment.model_dump()} if attachment else {f"{place}.$.status": "rejected"}
            return UpdateOne({"_id": row_id(row), f"{place}.media_id": media}, {"$set": change})
        case _:
            assert_never(patch)
