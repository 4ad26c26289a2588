"""Media of erased conversations are taken out, whatever comes before, after or meanwhile.

A note of each erasure is written before the conversation's media are looked for; whoever makes a media of a
conversation, or adds a message to one, looks for a note *after* he wrote. So of two at the same time one always sees
the other.

Death between two awaits: Kafka has the record again, and what was done is found done. An upload whose maker died before
he looked for a note is known to nobody; when it ends, an hour later, the sweep looks in his stead.
"""

from datetime import timedelta

import structlog

from services.media.core import Moment, erased
from services.media.keeping import Keeper
from services.media.store import Change, MediaStore, insisted
from shared.contracts.ids import document_key, object_key
from shared.runtime.clock import Clock
from shared.runtime.mongo import IndexModel, Mongo

log = structlog.stdlib.get_logger(__name__)

ERASURES = "erasures"
NOTES_LAST = timedelta(days=30)
"""Longer than a record of `media.jobs` can come again (7 days); as long as dead letters are kept."""


class Erasing:
    """Component (it makes its index)."""

    def __init__(self, mongo: Mongo, store: MediaStore, keeper: Keeper, clock: Clock) -> None:
        self._notes = mongo.db[ERASURES]
        self._store = store
        self._keeper = keeper
        self._clock = clock

    async def start(self) -> None:
        lasts = int(NOTES_LAST.total_seconds())
        await self._notes.create_indexes([IndexModel("at", name="old", expireAfterSeconds=lasts)])

    async def stop(self) -> None:
        """Nothing to end."""

    async def erase(self, workspace: str, end: Moment) -> None:
        """All that the conversation had up to `end`. Repeatable. Transient."""
        note = {"$max": {"up_to_seq": end.seq}, "$set": {"at": self._clock.now()}}
        await self._notes.update_one({"_id": document_key(workspace, end.conversation_id)}, note, upsert=True)
        found = await self._store.of_conversation(workspace, end.conversation_id)
        for ident in found:
            await self._take_out(workspace, ident, end)
        log.info("a conversation's media were erased", conversation=end.conversation_id, looked_at=len(found))

    async def is_over(self, workspace: str, moment: Moment) -> bool:
        """Whether what is of this moment is erased."""
        end = await self._end(workspace, moment.conversation_id)
        return end is not None and end.covers(moment)

    async def heed(self, workspace: str, ident: str, conversation: str) -> None:
        """To be called after a media was written that has to do with the conversation. Transient."""
        end = await self._end(workspace, conversation)
        if end is not None:
            await self._take_out(workspace, ident, end)

    async def _end(self, workspace: str, conversation: str) -> Moment | None:
        note = await self._notes.find_one({"_id": document_key(workspace, conversation)})
        return Moment(conversation, note["up_to_seq"]) if note else None

    async def _take_out(self, workspace: str, ident: str, end: Moment) -> None:
        await insisted(lambda: self._erase(workspace, ident, end))

    async def _erase(self, workspace: str, ident: str, end: Moment) -> None:
        """Its objects were of use until now: that is noted first, so that they last as long as any."""
        media, now = await self._store.whatever(workspace, ident), self._clock.now()
        if media is None or (after := erased(media, end, now)) is media:
            return
        if after.erased:
            await self._keeper.let_go([object_key(workspace, one.sha256) for one in media.renditions], now)
        await self._store.change(media, after, Change("system", now))
