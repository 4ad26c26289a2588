"""DESIGN 3.6: a document's outgoing records are kept in it, as `pending`, until the broker acknowledged them.

A store writes the change and `pending` in one update; then `flush` publishes. What a crash leaves, the sweep sends.

Only one flush at a time works on a document, also across replicas: it takes a lease in the document first. Without it,
a slow flush could publish version 1 again after another one published version 2, and on a compacted topic the last
record is the one that stays. A lease is longer than the producer's deadline; a crashed holder's runs out.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from shared.runtime.clock import Clock, SystemClock
from shared.runtime.engine_errors import is_away
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Database, Document, IndexModel, ReturnDocument, UpdateOne
from shared.runtime.records import Outgoing
from shared.runtime.regularly import Regularly
from shared.runtime.turns import Turns

LEASE_MS = 30_000
SWEEP_EVERY_S = 60.0
SETTLE = timedelta(seconds=5)
SWEEP_LIMIT = 1_000

_log = structlog.stdlib.get_logger(__name__)


class Publisher(Protocol):
    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Return when all are acknowledged, the order per key kept; Transient where that is unknown."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One document on its way: where it is and whose lease it is under."""

    collection: str
    ident: Any


def pending_entries(records: Iterable[Outgoing], at: datetime) -> list[Document]:
    """The records as a document keeps them. On insert: `{"pending": pending_entries(…)}`; on update:
    `{"$push": {"pending": {"$each": pending_entries(…)}}}`, in the update that raises `version`: so they stay in order.
    """
    return [
        {
            "id": uuid.uuid4().hex,
            "at": at,
            "topic": record.topic,
            "key": record.key,
            "value": record.value,
            "headers": [[name, value] for name, value in record.headers],
        }
        for record in records
    ]


class Outbox:
    """Component. `collections` are those whose documents may have `pending`. Start it after Mongo and the producer."""

    def __init__(
        self,
        db: Database,
        publisher: Publisher,
        collections: Sequence[str],
        metrics: Metrics,
        clock: Clock | None = None,
    ) -> None:
        self._db = db
        self._publisher = publisher
        self._collections = tuple(collections)
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._owner = uuid.uuid4().hex
        self._turns = Turns()
        self._sweeper = Regularly(self.sweep, SWEEP_EVERY_S, "the sweep of the outbox")

    async def start(self) -> None:
        """Makes the index that the sweep reads, then sweeps in the background: at once and every minute."""
        for collection in self._collections:
            await self._db[collection].create_indexes([IndexModel("pending.at", sparse=True, name="outbox")])
        await self._sweeper.start()

    async def stop(self) -> None:
        await self._sweeper.stop()

    async def flush(self, collection: str, ident: Any) -> None:
        """Publish what the document keeps, in order, and take it out. Returns at once where another replica is at it.

        Transient or a MongoDB error: the change stands and its records go out with the next flush or sweep.
        """
        turn = Turn(collection, ident)
        async with self._turns.of(turn):
            await self._drain(turn)

    async def flush_all(self, collection: str, idents: Sequence[Any]) -> None:
        """As `flush`, for many documents of a collection in a few calls. Each keeps its order."""
        async with AsyncExitStack() as turns:
            for ident in sorted(idents):  # in one order everywhere, so that nobody waits for each other
                await turns.enter_async_context(self._turns.of(Turn(collection, ident)))
            for ident in await self._drain_all(collection, idents):
                await self._drain(Turn(collection, ident))

    async def sweep(self) -> int:
        """Flush every document whose oldest record has waited for some seconds; answers how many were tried.

        A document that cannot be published is logged and counted, and holds up no other.
        """
        return sum([await self._sweep_collection(collection) for collection in self._collections])

    async def _drain(self, turn: Turn) -> None:
        document = await self._claim(turn)
        while document is not None:
            entries = document["pending"]
            await self._publisher.publish([outgoing(entry) for entry in entries])
            self._metrics.counter("outbox_published", collection=turn.collection).inc(len(entries))
            document = await self._settle(turn, entries)

    async def _drain_all(self, collection: str, idents: Sequence[Any]) -> list[Any]:
        """Which of them have more to publish, that came meanwhile."""
        documents, ours = self._db[collection], {"_id": {"$in": list(idents)}, "outbox.owner": self._owner}
        await documents.update_many(self._free({"$in": list(idents)}), [{"$set": {"outbox": self._leased()}}])
        found = await documents.find(ours, {"pending": 1}).to_list(None)
        entries = [entry for document in found for entry in document["pending"]]
        if not entries:
            return []
        await self._publisher.publish([outgoing(entry) for entry in entries])
        self._metrics.counter("outbox_published", collection=collection).inc(len(entries))
        done = [
            UpdateOne({"_id": one["_id"], "outbox.owner": self._owner}, _settled(one["pending"], self._leased()))
            for one in found
        ]
        await documents.bulk_write(done, ordered=False)
        left = await documents.find(ours | {"pending.0": {"$exists": True}}, {"_id": 1}).to_list(None)
        return [document["_id"] for document in left]

    async def _claim(self, turn: Turn) -> Document | None:
        """The document under our lease; None where nothing is pending or somebody else has the lease."""
        return await self._db[turn.collection].find_one_and_update(
            self._free(turn.ident),
            [{"$set": {"outbox": self._leased()}}],
            projection={"pending": 1},
            return_document=ReturnDocument.AFTER,
        )

    def _free(self, ident: Any) -> Document:
        """Documents that have something pending, and that nobody else is at."""
        free = [{"outbox.owner": {"$in": [None, self._owner]}}, {"$expr": {"$lt": ["$outbox.until", "$$NOW"]}}]
        return {"_id": ident, "pending.0": {"$exists": True}, "$or": free}

    def _leased(self) -> Document:
        return {"owner": self._owner, "until": {"$add": ["$$NOW", LEASE_MS]}}

    async def _settle(self, turn: Turn, done: Sequence[Document]) -> Document | None:
        """Take out what is acknowledged. The document again where more came meanwhile; else the lease is given back."""
        document: Mapping[str, Any] | None = await self._db[turn.collection].find_one_and_update(
            {"_id": turn.ident, "outbox.owner": self._owner},
            _settled(done, self._leased()),
            projection={"pending": 1},
            return_document=ReturnDocument.AFTER,
        )
        return dict(document) if document and document["pending"] else None

    async def _sweep_collection(self, collection: str) -> int:
        waiting = {"pending.at": {"$lt": self._clock.now() - SETTLE}}
        found = await self._db[collection].find(waiting, {"_id": 1}).limit(SWEEP_LIMIT).to_list(None)
        self._metrics.gauge("outbox_waiting", collection=collection).set(len(found))
        for document in found:
            await self._try(collection, document["_id"])
        return len(found)

    async def _try(self, collection: str, ident: Any) -> None:
        try:
            await self.flush(collection, ident)
        except Exception as error:  # one document must not hold up the others
            self._metrics.counter("outbox_failures", collection=collection).inc()
            if is_away(error):
                raise
            _log.error(
                "records of a document cannot be published", collection=collection, id=str(ident), exc_info=error
            )


def _settled(done: Sequence[Document], lease: Document) -> list[Document]:
    """Without what is acknowledged; the lease is given back where nothing is left."""
    known = {"$literal": [entry["id"] for entry in done]}
    left = {"$filter": {"input": "$pending", "cond": {"$not": [{"$in": ["$$this.id", known]}]}}}
    kept = {"$cond": [{"$eq": ["$pending", []]}, "$$REMOVE", lease]}
    return [{"$set": {"pending": left}}, {"$set": {"outbox": kept}}]


def outgoing(entry: Mapping[str, Any]) -> Outgoing:
    """The record of an entry of `pending`."""
    value = entry["value"]
    headers = tuple((name, bytes(content)) for name, content in entry["headers"])
    return Outgoing(entry["topic"], entry["key"], None if value is None else bytes(value), headers)
