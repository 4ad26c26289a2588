"""An erased contact: nothing is rendered for them until they write again, however often the topic is read."""

import random
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.snippets.contacts import CONTACTS, ContactCopy
from shared.contracts import topics
from shared.contracts.ids import document_key
from shared.contracts.outbound import ContactRecord
from shared.contracts.resources import Contact
from shared.contracts.wire import encode
from shared.runtime.batches import Batch
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.records import Record
from shared.testing.api import Api
from shared.testing.eventually import eventually
from tests.integration.snippets.installation import Installation

CONTACT, CONVERSATION = str(uuid.uuid4()), str(uuid.uuid4())
KEY = document_key("acme", CONTACT)
Row = int | None
"""A version, or a tombstone."""


async def test_nothing_is_rendered_for_who_was_erased_until_they_write_again(
    installation: Installation, manager: Api, agent: Api, workspace: str
) -> None:
    snippet = {"name": "Greeting", "message": "Hello $contact.firstname <$contact.email>", "missing": "omit"}
    path = f"/v1/snippets/{(await manager.ok('POST', '/v1/snippets', snippet))['id']}/render"

    async def knows(name: str, version: int, email: str | None = None) -> str:
        return await installation.knows(workspace, external_id="ana", first_name=name, email=email, version=version)

    async def rendered(text: str | None) -> None:
        async def is_so() -> bool:
            answer = await agent.call("POST", path, {"contact_id": contact})
            return (answer.status, answer.body["code"]) == (404, "NOT_FOUND") if text is None else said(answer.body)

        def said(body: object) -> bool:
            return isinstance(body, dict) and body.get("text") == text

        await eventually(is_so, f"{text}")

    contact = await knows("Ana", 3, "ana@example.org")
    await rendered("Hello Ana <ana@example.org>")
    await installation.publish(topics.CONTACTS, document_key(workspace, contact), None)
    await rendered(None)
    await agent.refused("POST", "/v1/snippets/preview", 404, "NOT_FOUND", {"message": "x", "contact_id": contact})
    await knows("Ana again", 14)
    await rendered("Hello Ana again <>")
    await knows("Ana", 3, "ana@example.org")  # an old row that comes late
    await knows("Ana, once more", 15)
    await rendered("Hello Ana, once more <>")


# the copy by itself


@pytest_asyncio.fixture
async def mongo(installation: Installation) -> AsyncIterator[Mongo]:
    place = installation.place
    mongo = Mongo(place.engines.mongo, f"{place.name}_{uuid.uuid4().hex[:8]}", "pymongo", Metrics())
    await mongo.start()
    yield mongo
    await mongo.stop()


async def read(copy: ContactCopy, log: list[Row], begin: int, end: int) -> None:
    """These offsets, as one batch."""
    rows = [_record(offset, version) for offset, version in enumerate(log)]
    if rows[begin:end]:
        await copy.handle(Batch(rows[begin:end], {}))


def _record(offset: int, version: Row) -> Record:
    key, value = KEY.encode(), None if version is None else encode(_row(version))
    return Record(topics.CONTACTS, 0, offset, key, value, {}, 0)


def _row(version: int) -> ContactRecord:
    contact = Contact(
        id=CONTACT, channel_id="c", external_id="ana", identities=(), first_name=f"v{version}", version=version
    )
    return ContactRecord(workspace="acme", conversation_id=CONVERSATION, contact=contact)


async def version(copy: ContactCopy) -> Row:
    found = await copy.contact("acme", CONTACT)
    return None if found is None else found.version


@pytest.mark.parametrize(
    ("log", "ends"),
    [
        ([1, 2, None], None),
        ([1, 2, None, 7], 7),
        ([1, None, 7, None], None),
        ([3, 2], 3),
        ([2, 3, 2, None, 2, 3, None], None),
        ([2, 3, None, 8, 3], 8),
    ],
)
async def test_rows_and_tombstones_of_one_batch_end_as_one_by_one(mongo: Mongo, log: list[Row], ends: Row) -> None:
    copy = ContactCopy(mongo)
    for sizes in ([len(log)], [1] * len(log)):
        await mongo.db[CONTACTS].delete_many({})
        begin = 0
        for size in sizes:
            await read(copy, log, begin, begin + size)
            begin += size
        assert await version(copy) == ends


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_comes_again_it_ends_right_when_the_topic_is_read_on(mongo: Mongo, seed: int) -> None:
    pick, copy = random.Random(seed), ContactCopy(mongo)
    log: list[Row] = []
    for number in range(1, pick.randint(3, 12)):
        log.append(None if log and pick.random() < 0.3 else number)
    at = 0
    while at < len(log):
        end = pick.randint(at + 1, len(log))
        await read(copy, log, at, end)
        at = pick.randint(0, end) if pick.random() < 0.4 else end  # the offset was not committed
    assert await version(copy) == log[-1]
