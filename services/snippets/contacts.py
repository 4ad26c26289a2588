"""The service's own copy of the contacts: the compacted topic `contacts`, read from its beginning, as documents."""

from collections.abc import Mapping

from shared.contracts.ids import document_key
from shared.contracts.outbound import ContactRecord
from shared.contracts.resources import Contact
from shared.contracts.wire import decode_as, encode
from shared.runtime.batches import Batch
from shared.runtime.faults import Poison
from shared.runtime.mongo import DeleteOne, Mongo, PyMongoError, UpdateOne, is_duplicate
from shared.runtime.records import Partition, Record

CONTACTS = "contacts"


class ContactCopy:
    """Handler of the group. A version once known is never replaced by an older one, whatever comes again."""

    def __init__(self, mongo: Mongo) -> None:
        self._contacts = mongo.db[CONTACTS]

    async def find(self, workspace: str, ident: str) -> Contact | None:
        found = await self._contacts.find_one({"_id": document_key(workspace, ident), "workspace": workspace})
        return decode_as(ContactRecord, found["record"]).contact if found else None

    async def handle(self, batch: Batch) -> None:
        """Poison for a record that is no contact."""
        rows: dict[bytes, ContactRecord | None] = {}
        for record in batch.records:
            key, row = _read(record)
            before = rows.get(key)
            if row is None or before is None or before.contact.version < row.contact.version:
                rows[key] = row
        try:
            await self._contacts.bulk_write([_write(key, row) for key, row in rows.items()], ordered=False)
        except PyMongoError as error:
            if not is_duplicate(error):  # an upsert of an older version: a newer one is there
                raise

    async def assigned(self, partitions: frozenset[Partition], committed: Mapping[Partition, int]) -> None:
        """Nothing is cached."""

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        """Nothing is cached."""


def _read(record: Record) -> tuple[bytes, ContactRecord | None]:
    """Its key, and None for a tombstone. Poison for anything that is no contact."""
    if record.key is None:
        raise Poison("UNDECODABLE", "a contact without a key", record=record)
    if record.value is None:
        return record.key, None
    try:
        return record.key, decode_as(ContactRecord, record.value)
    except ValueError as error:
        raise Poison("UNDECODABLE", str(error), record) from None


def _write(key: bytes, row: ContactRecord | None) -> UpdateOne | DeleteOne:
    if row is None:
        return DeleteOne({"_id": key.decode()})
    contact = row.contact
    values = {"workspace": row.workspace, "version": contact.version, "record": encode(row)}
    older = {"_id": document_key(row.workspace, contact.id), "version": {"$lt": contact.version}}
    return UpdateOne(older, {"$set": values}, upsert=True)
