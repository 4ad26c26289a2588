"""The service's own copy of the contacts, from the compacted topic `contacts`."""

from shared.contracts.ids import document_key
from shared.contracts.outbound import ContactRecord
from shared.contracts.resources import Contact
from shared.runtime.mongo import Mongo
from shared.runtime.topic_copy import TopicCopy

CONTACTS = "contacts"


class ContactCopy(TopicCopy[ContactRecord]):
    def __init__(self, mongo: Mongo) -> None:
        super().__init__(mongo.db[CONTACTS], ContactRecord, lambda row: (row.workspace, row.contact.version))

    async def contact(self, workspace: str, ident: str) -> Contact | None:
        found = await self.find(workspace, document_key(workspace, ident))
        return found.contact if found else None
