"""The registry's documents: `channels` (`_id` = channel id; deleted ones stay, marked), `audit` (append only), and
`announced`, one document: the incarnation of the topic `channels` that has them all.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from shared.contracts.outbound import ChannelRecord
from shared.runtime.mongo import (
    ASCENDING,
    DESCENDING,
    Document,
    IndexModel,
    Mongo,
    PyMongoError,
    Session,
    is_duplicate,
)
from shared.runtime.outbox import pending_entries
from shared.runtime.records import Outgoing

CHANNELS = "channels"
AUDIT = "audit"
ANNOUNCED = "announced"

_NOT_STORED = {"id", "type"}  # the one is `_id`, the other the same for all
_CHANNEL_INDEXES = (IndexModel([("workspace", ASCENDING), ("_id", ASCENDING)], name="of_workspace"),)
_AUDIT_INDEXES = (IndexModel([("workspace", ASCENDING), ("at", DESCENDING)], name="of_workspace"),)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to which channel when. `fields`: the names of what changed; values stay out, some are secret."""

    workspace: str
    at: datetime
    member_id: str
    role: str
    action: Literal[
        "channel.created", "channel.changed", "channel.secret_rotated", "channel.resealed", "channel.deleted"
    ]
    subject: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the channel as it is now, who did it, and the records that tell the others."""

    channel: ChannelRecord
    audit: AuditEntry
    records: Sequence[Outgoing]


class ChannelStore:
    """Component. Calls raise MongoDB's errors; what is deleted is not found."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._channels = mongo.db[CHANNELS]
        self._audit = mongo.db[AUDIT]
        self._announced = mongo.db[ANNOUNCED]

    async def start(self) -> None:
        await self._channels.create_indexes(list(_CHANNEL_INDEXES))
        await self._audit.create_indexes(list(_AUDIT_INDEXES))

    async def stop(self) -> None:
        """Nothing is open here."""

    async def find(self, ident: str) -> ChannelRecord | None:
        """A channel of any workspace: for its own adapter, not for members."""
        return _channel(await self._channels.find_one({"_id": ident, "deleted": False}))

    async def find_in(self, workspace: str, ident: str) -> ChannelRecord | None:
        return _channel(await self._channels.find_one({"_id": ident, "workspace": workspace, "deleted": False}))

    async def page(self, workspace: str, after: str, limit: int) -> list[ChannelRecord]:
        """In the order of their ids, from the first above `after`."""
        query = {"workspace": workspace, "_id": {"$gt": after}, "deleted": False}
        found = await self._channels.find(query).sort("_id", ASCENDING).limit(limit).to_list(None)
        return [_known(document) for document in found]

    async def sealed_otherwise(self, key_id: str, after: str, limit: int) -> list[ChannelRecord]:
        """Of all workspaces: channels with a secret that another key sealed, in the order of their ids."""
        other = {"$elemMatch": {"sealed": {"$not": re.compile(f"^{re.escape(key_id)}\\.")}}}
        query = {"_id": {"$gt": after}, "secrets": other, "deleted": False}
        found = await self._channels.find(query).sort("_id", ASCENDING).limit(limit).to_list(None)
        return [_known(document) for document in found]

    async def page_of_all(self, after: str, limit: int) -> list[ChannelRecord]:
        """Of all workspaces, in the order of their ids."""
        query = {"_id": {"$gt": after}, "deleted": False}
        found = await self._channels.find(query).sort("_id", ASCENDING).limit(limit).to_list(None)
        return [_known(document) for document in found]

    async def announce(self, channel: ChannelRecord, records: Sequence[Outgoing]) -> None:
        """Tell this version once more. Where there is a newer one, that tells of itself."""
        pending = pending_entries(records, datetime.now(UTC))
        same = {"_id": channel.id, "version": channel.version, "deleted": False}
        await self._channels.update_one(same, {"$push": {"pending": {"$each": pending}}})

    async def announced_to(self) -> str | None:
        """The incarnation of the topic that has every channel."""
        found = await self._announced.find_one({"_id": CHANNELS})
        return None if found is None else str(found["incarnation"])

    async def note_announced_to(self, incarnation: str) -> None:
        await self._announced.update_one({"_id": CHANNELS}, {"$set": {"incarnation": incarnation}}, upsert=True)

    async def catch_up(self, channel: ChannelRecord, at: datetime) -> bool:
        """Make it this version, where the stored one is older or there is none; whether it was so. Tells nobody: this
        is what they were told."""
        fields = {name: value for name, value in _document(channel).items() if name != "_id"}
        update = {"$set": {**fields, "pending": []}, "$setOnInsert": {"created_at": at}}
        older = {"_id": channel.id, "version": {"$lt": channel.version}}
        try:
            done = await self._channels.update_one(older, update, upsert=True)
        except PyMongoError as error:
            if is_duplicate(error):  # a version that is no older is there
                return False
            raise
        return bool(done.matched_count or done.upserted_id is not None)

    async def insert(self, change: Change) -> None:
        pending = pending_entries(change.records, change.audit.at)

        async def work(session: Session) -> None:
            document = {**_document(change.channel), "created_at": change.audit.at, "pending": pending}
            await self._channels.insert_one(document, session=session)
            await self._audit.insert_one(asdict(change.audit), session=session)

        await self._mongo.transaction(work)

    async def replace(self, change: Change) -> bool:
        """Write the next version. False where the stored one is not the version before: nothing is written."""
        channel, pending = change.channel, pending_entries(change.records, change.audit.at)
        before = {"_id": channel.id, "workspace": channel.workspace, "version": channel.version - 1, "deleted": False}

        async def work(session: Session) -> bool:
            fields = {name: value for name, value in _document(channel).items() if name != "_id"}
            update = {"$set": fields, "$push": {"pending": {"$each": pending}}}
            written = await self._channels.update_one(before, update, session=session)
            if written.modified_count:
                await self._audit.insert_one(asdict(change.audit), session=session)
            return written.modified_count == 1

        return await self._mongo.transaction(work)


def _document(channel: ChannelRecord) -> Document:
    return {"_id": channel.id, **channel.model_dump(exclude=_NOT_STORED)}


def _channel(document: Mapping[str, Any] | None) -> ChannelRecord | None:
    return None if document is None else _known(document)


def _known(document: Mapping[str, Any]) -> ChannelRecord:
    fields = {name: document[name] for name in ChannelRecord.model_fields if name not in _NOT_STORED}
    return ChannelRecord.model_validate({**fields, "id": document["_id"]}, strict=False)
