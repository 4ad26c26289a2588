"""Transactions that nobody ends: of a process that was killed, or whose answer never came.

MongoDB keeps such a transaction open for up to a minute, and until then nobody else can write what it wrote. So each
instance notes its sessions, and its next process ends them before it begins; and a session whose connection broke is
ended before the next transaction.
"""

import time
from collections.abc import Collection
from typing import Any

import structlog
from bson import Binary
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

log = structlog.get_logger(__name__)

COLLECTION = "sessions"
KEPT = 1000
"""A driver takes a new session after half an hour of rest: far fewer than this are alive."""

LIFETIME_S = 90.0
"""By then the server has ended any transaction by itself: 60 s by default, looked at every 30 s."""


class OpenSessions:
    """The sessions of `instance`, in the collection `sessions` of its service: `{_id: instance, ids: [UUID]}`.

    Two processes of one instance are harmless: transactions of the former are aborted and run again. Without a name
    nothing is noted.
    """

    def __init__(self, db: AsyncDatabase[dict[str, Any]], instance: str | None) -> None:
        self._db = db
        self._instance = instance
        self._noted: set[Binary] = set()
        self._left: dict[Binary, float] = {}

    async def end_former(self) -> None:
        """End what the process before us left open. Raises PyMongo's errors where MongoDB is away."""
        found = await self._db[COLLECTION].find_one({"_id": self._instance}) if self._instance else None
        if not found or not found["ids"]:
            return
        await self._end([Binary.from_uuid(ident) for ident in found["ids"]])
        await self._db[COLLECTION].update_one({"_id": self._instance}, {"$pullAll": {"ids": found["ids"]}})

    async def note(self, session: AsyncClientSession) -> None:
        """Before its first transaction."""
        ident = session.session_id["id"]
        if self._instance is None or ident in self._noted:
            return
        pushed = {"$push": {"ids": {"$each": [ident], "$slice": -KEPT}}}
        await self._db[COLLECTION].update_one({"_id": self._instance}, pushed, upsert=True)
        self._noted.add(ident)

    def left(self, session: AsyncClientSession) -> None:
        """Its transaction may be open, or yet begin: what was sent to a server that hung is read when it goes on."""
        self._left[session.session_id["id"]] = time.monotonic() + LIFETIME_S

    async def end_left(self) -> None:
        """Before a transaction. Repeated for a while, since a server reads old and new connections in any order."""
        if not self._left:
            return
        now = time.monotonic()
        self._left = {ident: until for ident, until in self._left.items() if until > now}
        await self._end(self._left)

    async def _end(self, idents: Collection[Binary]) -> None:
        try:
            await self._db.command("killSessions", [{"id": ident} for ident in idents])
        except OperationFailure as error:  # not every hosted MongoDB grants it
            log.warning("open transactions could not be ended: writes may wait a minute", error=str(error))
