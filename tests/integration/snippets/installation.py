"""The snippets service as it runs, on real engines, with as many replicas as a test likes."""

import uuid
from typing import Any

from pymongo import AsyncMongoClient

from services.snippets.app import TOPICS, build
from services.snippets.settings import SnippetsSettings
from services.snippets.shelf import Snippet, drafted
from services.snippets.store import _document
from shared.contracts import topics
from shared.contracts.ids import contact_id, document_key
from shared.contracts.outbound import ContactRecord
from shared.contracts.resources import Contact
from shared.contracts.wire import encode
from shared.runtime.component import Service
from tests.integration.replicas import Replicas

NAMESPACE = uuid.uuid5(uuid.UUID(int=0), "tests")
CONTACTS_DLQ = topics.dead_letter_name(topics.CONTACTS)


class Installation(Replicas):
    topics = TOPICS

    def build(self, settings: dict[str, Any]) -> Service:
        return build(SnippetsSettings.model_validate(settings))

    async def knows(self, workspace: str, **values: Any) -> str:
        """Publishes a contact as routing does; -> its id."""
        external = values.pop("external_id", uuid.uuid4().hex)
        ident = contact_id(NAMESPACE, workspace, "channel", external)
        contact = Contact(
            id=ident, channel_id="channel", external_id=external, identities=(), **{"version": 1, **values}
        )
        row = ContactRecord(workspace=workspace, conversation_id=str(uuid.uuid4()), contact=contact)
        await self.publish(topics.CONTACTS, document_key(workspace, ident), encode(row))
        return ident

    async def fill(self, workspace: str, count: int) -> None:
        """So many snippets, straight into the database, as `SnippetStore.add` would have left them."""
        mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(self.place.engines.mongo)
        db = mongo[f"{self.place.name}_snippets"]
        rows = [_row(workspace, f"filled {number}") for number in range(count)]
        await db.snippets.insert_many(rows)
        await db.shelves.insert_one({"_id": workspace, "count": count, "revision": count})
        await mongo.close()


def _row(workspace: str, name: str) -> dict[str, Any]:
    draft = drafted(name, "text", None, "block")
    return _document(Snippet(workspace, str(uuid.uuid4()), draft, 1, 0, "2026-01-31T12:00:00.000Z"))
