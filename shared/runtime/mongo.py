"""MongoDB, through Motor or PyMongo's own async client: a setting decides, stores cannot tell.

Stores use only calls that both have with the same shape. Where they differ (sessions, transactions, aggregate, close)
the difference ends here. Types are PyMongo's. Every write is acknowledged by a majority before it returns.
"""

import asyncio
import inspect
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

from bson import Binary
from bson.errors import InvalidDocument
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import (
    ASCENDING,
    DESCENDING,
    AsyncMongoClient,
    DeleteMany,
    DeleteOne,
    IndexModel,
    InsertOne,
    ReplaceOne,
    ReturnDocument,
    UpdateMany,
    UpdateOne,
)
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, ConnectionFailure, DuplicateKeyError, OperationFailure, PyMongoError

from shared.runtime.engine_errors import as_transient
from shared.runtime.faults import Transient
from shared.runtime.metrics import Metrics
from shared.runtime.mongo_sessions import OpenSessions

Document = dict[str, Any]
Database = AsyncDatabase[Document]
Collection = AsyncCollection[Document]
Session = AsyncClientSession
Driver = Literal["motor", "pymongo"]
T = TypeVar("T")

TRANSACTION_TRIES = 5
COMMIT_TRIES = 3
RETRY_DELAY_S = 0.02
DUPLICATE_KEY = 11000

OPTIONS: Mapping[str, Any] = {
    "w": "majority",
    "wTimeoutMS": 10_000,
    "readConcernLevel": "majority",
    "serverSelectionTimeoutMS": 3_000,
    "connectTimeoutMS": 3_000,
    "socketTimeoutMS": 10_000,
    "waitQueueTimeoutMS": 5_000,
    "tz_aware": True,
    "uuidRepresentation": "standard",
}
"""What the address in the settings names itself takes precedence."""


class Mongo:
    """Component. `db` is usable at once; the first call connects. Calls raise PyMongo's errors: see `is_away`.

    `instance`, unique among the processes that use this database, lets a process end what a killed one of the same
    name left open.
    """

    def __init__(self, url: str, database: str, driver: Driver, metrics: Metrics, instance: str | None = None) -> None:
        self._client: AsyncMongoClient[Document] = _client(url, driver)
        self._metrics = metrics
        self._seconds = metrics.histogram("mongo_transaction_seconds")
        self._retries = metrics.counter("mongo_transaction_retries")
        self.db: Database = self._client[database]
        self._open = OpenSessions(self.db, instance)

    def beside(self, database: str) -> Database:
        """Another database of the same server; transactions may span both."""
        return self._client[database]

    async def start(self) -> None:
        """Transient while there is no primary."""
        await self.ping()
        try:
            await self._open.end_former()
        except PyMongoError as error:
            raise as_transient(error) from error

    async def stop(self) -> None:
        await _settled(self._client.close())

    async def ping(self) -> None:
        """Transient where no primary answers within the timeouts."""
        try:
            await self.db.command("ping")
        except PyMongoError as error:
            raise as_transient(error) from error

    async def transaction(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run `work` and commit. Pass the session to every call inside; nothing else may happen in there: `work` is
        run again after a write conflict. Its own exceptions abort and come out as they are.

        Transient where MongoDB is away or whether it committed is unknown (so running it twice must be harmless).
        """
        begun = time.perf_counter()
        try:
            return await self._tried(work)
        except PyMongoError as error:
            raise as_transient(error) from error
        finally:
            self._seconds.observe(time.perf_counter() - begun)

    async def aggregate(
        self, collection: str, pipeline: Sequence[Mapping[str, Any]], session: Session | None = None
    ) -> list[Document]:
        cursor = await _settled(self.db[collection].aggregate(pipeline, session=session))
        found: list[Document] = await cursor.to_list(None)
        return found

    async def _tried(self, work: Callable[[Session], Awaitable[T]]) -> T:
        for failures in range(1, TRANSACTION_TRIES + 1):
            try:
                return await self._once(work)
            except OperationFailure as error:  # answers only: where nobody answers, the caller must not wait for more
                if failures == TRANSACTION_TRIES or not error.has_error_label("TransientTransactionError"):
                    raise
            self._retries.inc()
            await asyncio.sleep(RETRY_DELAY_S * 2**failures * random.random())
        raise AssertionError("the last try either answers or raises")

    async def _once(self, work: Callable[[Session], Awaitable[T]]) -> T:
        await self._open.end_left()
        async with self._session() as session:
            await self._open.note(session)
            await _settled(session.start_transaction())
            try:
                outcome = await work(session)
            except BaseException as error:
                if isinstance(error, ConnectionFailure | asyncio.CancelledError):
                    self._open.left(session)
                await asyncio.shield(self._abort(session))
                raise
            await self._commit(session)
            return outcome

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        session = await _settled(self._client.start_session())
        try:
            yield session
        finally:
            await session.end_session()

    async def _abort(self, session: Session) -> None:
        """Drivers say nothing when this fails; what then stays open is ended before the next transaction."""
        self._count("aborted")
        with suppress(PyMongoError):
            await session.abort_transaction()

    async def _commit(self, session: Session) -> None:
        """Committing again is safe: the server knows the transaction by its number."""
        for _ in range(COMMIT_TRIES):
            try:
                await session.commit_transaction()
            except PyMongoError as error:
                if not error.has_error_label("UnknownTransactionCommitResult"):
                    raise
                continue
            self._count("committed")
            return
        self._count("unknown")
        self._open.left(session)
        raise Transient("whether MongoDB committed is unknown")

    def _count(self, outcome: str) -> None:
        self._metrics.counter("mongo_transactions", outcome=outcome).inc()


def is_duplicate(error: PyMongoError) -> bool:
    """Whether a write, also one of a bulk, failed on a unique index and on nothing else."""
    if isinstance(error, BulkWriteError):
        faults = error.details.get("writeErrors", [])
        return bool(faults) and all(fault.get("code") == DUPLICATE_KEY for fault in faults)
    return isinstance(error, DuplicateKeyError)


def _client(url: str, driver: Driver) -> AsyncMongoClient[Document]:
    named = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
    options = {name: value for name, value in OPTIONS.items() if name.lower() not in named}
    if driver == "motor":
        return cast(AsyncMongoClient[Document], AsyncIOMotorClient(url, **options))
    return AsyncMongoClient(url, **options)


async def _settled(answer: Any) -> Any:
    """What one driver answers at once and the other in a coroutine."""
    return await answer if inspect.isawaitable(answer) else answer


__all__ = [
    "ASCENDING",
    "DESCENDING",
    "Binary",
    "BulkWriteError",
    "Collection",
    "Database",
    "DeleteMany",
    "DeleteOne",
    "Document",
    "Driver",
    "DuplicateKeyError",
    "IndexModel",
    "InsertOne",
    "InvalidDocument",
    "Mongo",
    "OperationFailure",
    "PyMongoError",
    "ReplaceOne",
    "ReturnDocument",
    "Session",
    "UpdateMany",
    "UpdateOne",
    "is_duplicate",
]
