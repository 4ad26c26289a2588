"""Erased conversations on real engines: what goes, what stays, what becomes of objects, bytes and jobs under way."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.media.core import OBJECTS_LAST
from services.media.store import Change, Claim, Stale
from services.media.sweeping import INCOMING_LASTS
from services.media.working import CLAIM_LASTS
from shared.contracts import topics
from shared.contracts.events import CloudEvent
from shared.contracts.outbound import MediaRecord
from shared.contracts.resources import Media
from shared.contracts.shape import Shape
from shared.contracts.wire import decode_event, encode
from shared.runtime.outbound_download import Downloads
from shared.runtime.outbound_url import OutboundPolicy
from shared.testing.api import Api
from shared.testing.eventually import eventually
from shared.testing.file_source import FileSource, gives
from shared.testing.uploads import CHECKED_WITHIN_S, fetch, settled, uploaded
from tests.integration.media.installation import Installation, Parts
from tests.integration.media.kept import exists, key_of, used_bytes
from tests.integration.media.records import batch
from tests.integration.media.story import OTHER, PICTURE, SEEN, Story, Thread, records


@pytest_asyncio.fixture
async def source() -> AsyncIterator[FileSource]:
    async with FileSource() as source:
        source.answer = gives(PICTURE, "image/png")
        yield source


# as it runs


class Live(Thread):
    """A conversation as its agent and routing have it."""

    def __init__(self, installation: Installation, agent: Api, workspace: str) -> None:
        super().__init__(workspace, installation.conversation(workspace, SEEN))
        self.installation, self.agent = installation, agent

    async def asked(self, job: Shape, key: str) -> None:
        await self.installation.publish(topics.MEDIA_JOBS, key, encode(job))

    async def begun(self) -> dict[str, Any]:
        body = {"purpose": "attachment", "content_type": "image/png", "size": len(PICTURE), "filename": "c.png"}
        made: dict[str, Any] = await self.agent.ok("POST", "/v1/media", body | {"conversation_id": self.conversation})
        return made

    async def attachment(self) -> str:
        made = await self.begun()
        await fetch(made["upload"]["url"], "PUT", PICTURE)
        assert (await self.agent.call("POST", f"/v1/media/{made['media_id']}/complete")).status == 202
        return str(made["media_id"])

    async def came(self, seq: int, url: str) -> str:
        wanted = self.file_of(seq, url)
        await self.asked(wanted, wanted.attachment.media_id)
        return wanted.attachment.media_id

    async def refer(self, media: str, seq: int, version: int) -> None:
        await self.asked(self.sent(media, seq), media)

        async def noted() -> bool:
            return (await records(self.installation, media))[-1].media.version == version

        await eventually(noted, "the reference")

    async def become(self, idents: list[str], state: str) -> None:
        async def are() -> bool:
            found = [await self.agent.call("GET", f"/v1/media/{ident}") for ident in idents]
            return all(one.status == 200 and one.body["state"] == state for one in found)

        await eventually(are, state, CHECKED_WITHIN_S)

    async def is_taken_out(self, ident: str) -> None:
        media = await self.agent.ok("GET", f"/v1/media/{ident}")
        assert (media["code"], media["filename"], media["renditions"]) == ("CONTACT_ERASED", None, [])
        problem = await self.agent.refused("GET", f"/v1/media/{ident}/content", 409, "MEDIA_REJECTED")
        assert problem["reason"] == "CONTACT_ERASED"

        async def told() -> list[MediaRecord] | None:
            """It is stored before it is told."""
            found = await records(self.installation, ident)
            return found if found[-1].media.version == media["version"] else None

        former, last = (await eventually(told, "the record of it"))[-2:]
        assert last.media == Media.model_validate_json(json.dumps(media))
        assert (last.media.version, last.media.attachable) == (former.media.version + 1, False)


async def test_what_is_of_an_erased_conversation_goes_and_what_is_not_stays(
    installation: Installation, manager: Api, agent: Api, workspace: str, source: FileSource
) -> None:
    live = Live(installation, agent, workspace)
    library = str((await settled(manager, await uploaded(manager, PICTURE)))["id"])
    draft, sent, later = [await live.attachment() for _ in range(3)]
    upload = str((await live.begun())["media_id"])
    customers, afterwards = await live.came(3, source.url()), await live.came(SEEN + 2, source.url())
    await live.become([draft, sent, later, customers, afterwards], "ready")
    for media, seq in ((sent, 4), (library, 4), (later, SEEN + 3)):
        await live.refer(media, seq, version=4)
    await live.asked(live.erasure(), live.conversation)
    gone = [draft, sent, upload, customers]
    await live.become(gone, "rejected")
    for ident in gone:
        await live.is_taken_out(ident)
    problem = await agent.refused("POST", f"/v1/media/{upload}/complete", 409, "MEDIA_REJECTED")
    assert problem["reason"] == "CONTACT_ERASED"
    await live.become([library, later, afterwards], "ready")

    async def rejected() -> list[CloudEvent]:
        heard = [decode_event(one.value or b"") for one in await installation.read(topics.WORKSPACE_EVENTS)]
        return [one for one in heard if one.workspace == workspace and one.type == "relaydesk.media.rejected.v1"]

    told = await eventually(rejected, "media.rejected")
    assert [(one.subject, one.audience) for one in told] == [(upload, "agent:agent-1")]
    installation.gateway.seqs[live.conversation] = SEEN + 3
    await live.become([await live.attachment()], "ready")  # the customer wrote again, and is answered


# objects and bytes


async def test_its_objects_go_two_days_later_and_those_of_others_stay(story: Story) -> None:
    parts = story.parts
    own, shared = await story.draft(OTHER), await story.draft()
    other = story.elsewhere()
    twin = await other.draft()
    assert key_of(shared) == key_of(twin)
    await parts.jobs().handle(batch(other.sent(twin.id, 2)))
    parts.clock.ahead += OBJECTS_LAST - timedelta(hours=30)  # the objects were noted that long ago
    await story.erased()
    assert [await story.is_erased(one.id) for one in (own, shared)] == [True, True]
    assert await used_bytes(parts, story.workspace) == twin.charged
    await parts.sweeper.sweep()
    measured = parts.metrics.registry.get_sample_value
    assert measured("relaydesk_media_stored_bytes", {"workspace": story.workspace}) == twin.charged
    parts.clock.ahead += OBJECTS_LAST - timedelta(minutes=1)
    await parts.sweeper.sweep()
    assert await exists(parts, key_of(own)), "it is two days after its last use"
    parts.clock.ahead += timedelta(minutes=2)
    await parts.sweeper.sweep()
    assert not await exists(parts, key_of(own))
    assert await exists(parts, key_of(twin))
    assert await parts.store.find(story.workspace, own.id) is None, "it is forgotten after a day"


async def test_what_was_uploaded_and_not_read_yet_goes(story: Story) -> None:
    parts = story.parts
    upload = await parts.store.upload_of(await story.due())
    assert upload is not None
    await story.erased()
    parts.clock.ahead += INCOMING_LASTS + timedelta(minutes=1)
    await parts.sweeper.sweep()
    assert not await exists(parts, upload)


async def test_the_document_of_a_draft_that_is_gone_is_emptied_too(story: Story) -> None:
    parts, draft = story.parts, await story.draft()
    await parts.uploading.discard(story.member, draft)
    parts.clock.ahead += OBJECTS_LAST + timedelta(minutes=1)
    await parts.sweeper.sweep()
    assert (await story.now(draft.id)).gone
    await story.erased()
    assert await story.is_erased(draft.id)
    assert await parts.store.find(story.workspace, draft.id) is None


async def test_a_check_under_way_brings_nothing_back(story: Story) -> None:
    parts = story.parts
    media, now = await story.due(), parts.clock.now()
    job = await parts.store.claim("uploads", Claim("slow", now, now + CLAIM_LASTS))
    assert job is not None
    after, _ = await parts.uploads().done(job)
    assert await exists(parts, key_of(after))
    await story.erased()
    with pytest.raises(Stale):
        await parts.store.change(job.media, after, Change("system", now, owner="slow"))
    assert not await parts.store.renew(media, "slow", now + CLAIM_LASTS)
    assert not await parts.worker().work()
    assert await story.is_erased(media.id)
    assert await used_bytes(parts, story.workspace) == 0
    parts.clock.ahead += OBJECTS_LAST + timedelta(minutes=1)
    await parts.sweeper.sweep()
    assert not await exists(parts, key_of(after))


async def test_a_download_under_way_brings_nothing_back(story: Story, source: FileSource) -> None:
    parts, wanted = story.parts, story.file_of(3, source.url())
    answer = gives(PICTURE, "image/png")

    async def slowly(path: str, writer: asyncio.StreamWriter) -> None:
        await story.erased()
        await answer(path, writer)

    source.answer = slowly
    await story.jobs.handle(batch(wanted))
    downloads = Downloads(OutboundPolicy(allow_private=True))
    await downloads.start()
    try:
        worker = parts.fetcher(downloads, 1, 1)
        assert await worker.work()
        assert not await worker.work()
    finally:
        await downloads.stop()
    assert await story.is_erased(wanted.attachment.media_id)
    notes = await parts.mongo.db.objects.find({}).to_list(None)
    assert len(notes) == 2, "it and its thumbnail were kept before the job was in vain"
    parts.clock.ahead += OBJECTS_LAST + timedelta(minutes=1)
    await parts.sweeper.sweep()
    assert [await exists(parts, note["_id"]) for note in notes] == [False, False]


# what it costs


async def test_nothing_but_media_of_the_conversation_is_looked_at(story: Story, parts: Parts) -> None:
    db = parts.mongo.db
    for other in (story.elsewhere() for _ in range(3)):
        await story.jobs.handle(batch(*(other.file_of(seq) for seq in range(1, 11))))
    await story.jobs.handle(batch(*(story.file_of(seq) for seq in range(1, 4))))
    draft, elsewhere = await story.draft(), await story.elsewhere().draft()
    await story.jobs.handle(batch(story.sent(elsewhere.id, 4)))
    await db.command("profile", 2)
    found = await parts.store.of_conversation(story.workspace, story.conversation)
    await db.command("profile", 0)
    (look,) = await db["system.profile"].find({"op": "query", "ns": {"$regex": "media$"}}).to_list(None)
    assert {draft.id, elsewhere.id} < set(found) and len(found) == 5
    assert "COLLSCAN" not in look["planSummary"], look["planSummary"]
    assert look["docsExamined"] == 5
    assert look["planSummary"].count("IXSCAN") == 3
