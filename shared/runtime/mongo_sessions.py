"""A process that is killed inside a transaction leaves it open: MongoDB holds what it wrote for up to a minute, and
nobody else can write it. So each instance notes its sessions, and its next process ends them before it begins."""

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


class OpenSessions:
    """The sessions of `instance`, in the collection `sessions` of its service: `{_id: instance, ids: [UUID]}`.

    Two processes of one instance are harmless: transactions of the former are aborted and run again.
    """

    def __init__(self, db: AsyncDatabase[dict[str, Any]], instance: str) -> None:
        self._db = db
        self._instance = instance
        self._noted: set[bytes] = set()

    async def end_former(self) -> None:
        """End what the process before us left open. Raises PyMongo's errors where MongoDB is away."""
        found = await self._db[COLLECTION].find_one({"_id": self._instance})
        if not found or not found["ids"]:
            return
        try:
            await self._db.command("killSessions", [{"id": Binary.from_uuid(ident)} for ident in found["ids"]])
        except OperationFailure as error:  # not every hosted MongoDB grants it
            log.warning("sessions of the process before could not be ended: writes may wait a minute", error=str(error))
        await self._db[COLLECTION].update_one({"_id": self._instance}, {"$pullAll": {"ids": found["ids"]}})

    async def note(self, session: AsyncClientSession) -> None:
        """Before its first transaction."""
        ident = session.session_id["id"]
        if ident in self._noted:
            return
        pushed = {"$push": {"ids": {"$each": [ident], "$slice": -KEPT}}}
        await self._db[COLLECTION].update_one({"_id": self._instance}, pushed, upsert=True)
        self._noted.add(ident)
