"""Deaths, second owners and the passing of time, on real engines; each test has a database of its own."""

import uuid
from datetime import timedelta

import pytest

from services.media.core import OBJECTS_LAST, UPLOAD_LASTS, Facts, Media, kept, removed
from services.media.sandbox import Sandbox
from services.media.store import Change, Claim, Claimed, Stale
from services.media.sweeping import INCOMING_LASTS
from services.media.uploading import INCOMING, Announced
from services.media.working import CLAIM_LASTS, MOST_FAULTS
from shared.contracts.outbound import MediaReferenced
from shared.runtime.problems import Problem
from shared.runtime.s3 import MinioStore
from shared.testing.eventually import eventually
from shared.testing.uploads import fetch
from tests.integration.media.installation import QUOTA, ROOT, Parts, manager_of, unique
from tests.integration.media.kept import exists, key_of, used_bytes
from tests.integration.media.records import CONVERSATION, MESSAGE, batch
from tests.unit.media.files import png

PICTURE = png(64)


async def completed(parts: Parts, workspace: str, content: bytes = PICTURE) -> Media:
    """Uploaded and due."""
    member = manager_of(workspace)
    upload = await parts.uploading.begin_file(member, Announced("a.png", "image/png", len(content)), None)
    await fetch(upload.url, "PUT", content)
    return await parts.uploading.complete(member, upload.media)


async def ready(parts: Parts, workspace: str, content: bytes = PICTURE) -> Media:
    media = await completed(parts, workspace, content)
    assert await parts.worker().work()
    return await known(parts, media)


async def known(parts: Parts, media: Media) -> Media:
    found = await parts.store.find(media.workspace, media.id)
    assert found is not None
    return found


async def claimed(parts: Parts, owner: str) -> Claimed | None:
    now = parts.clock.now()
    return await parts.store.claim("uploads", Claim(owner, now, now + CLAIM_LASTS))


async def test_a_job_whose_worker_died_is_done_by_another_when_the_claim_ran_out(parts: Parts) -> None:
    media = await completed(parts, unique())
    assert await claimed(parts, "dead") is not None
    assert not await parts.worker().work()
    parts.clock.ahead += CLAIM_LASTS
    assert await parts.worker().work()
    assert (await known(parts, media)).state == "ready"
    assert not await parts.worker().work()


async def test_who_lost_the_job_writes_nothing_any_more(parts: Parts) -> None:
    media = await completed(parts, unique())
    now = parts.clock.now()
    zombie = await claimed(parts, "zombie")
    assert zombie is not None
    after, _ = await parts.uploads().done(zombie)  # all but the outcome
    parts.clock.ahead += CLAIM_LASTS
    heir = await claimed(parts, "heir")
    assert heir is not None and heir.tries == 2
    assert not await parts.store.renew(media, "zombie", parts.clock.now() + CLAIM_LASTS)
    with pytest.raises(Stale):
        await parts.store.change(media, after, Change("system", now, owner="zombie"))
    await parts.store.change(media, after, Change("system", now, owner="heir"))
    assert await used_bytes(parts, media.workspace) == after.charged > len(PICTURE)


async def test_a_worker_that_is_stopped_gives_its_job_back_at_once(parts: Parts) -> None:
    media = await completed(parts, unique())
    worker = parts.worker(sandbox=Sandbox({"PYTHONPATH": str(ROOT)}, program="tests.unit.media.programs.hangs"))
    await worker.start()

    async def claimed() -> bool:
        return await parts.mongo.db.media.find_one({"id": media.id, "job.until": {"$ne": None}}) is not None

    try:
        await eventually(claimed, "it is at work")
    finally:
        await worker.stop()
    assert await parts.worker().work()
    assert (await known(parts, media)).state == "ready"


async def test_a_file_that_makes_the_check_fail_again_and_again_is_refused(parts: Parts) -> None:
    media = await completed(parts, unique())
    failing = parts.worker(sandbox=Sandbox({"PYTHONPATH": str(ROOT)}, program="tests.unit.media.programs.fails"))
    for _ in range(MOST_FAULTS - 1):
        assert await failing.work()
        assert (await known(parts, media)).state == "processing"
        parts.clock.ahead += timedelta(minutes=2)
    assert await failing.work()
    assert (await known(parts, media)).code == "UNREADABLE"


async def test_a_store_that_is_away_refuses_no_file_however_long(parts: Parts) -> None:
    media = await completed(parts, unique())
    nowhere = parts.worker(objects=MinioStore(parts.settings.model_copy(update={"s3": "http://127.0.0.1:9"})))
    for _ in range(MOST_FAULTS + 2):
        assert await nowhere.work()
        parts.clock.ahead += timedelta(minutes=2)
    assert (await known(parts, media)).state == "processing"
    assert await parts.worker().work()
    assert (await known(parts, media)).state == "ready"


async def test_an_upload_is_read_once_and_gone_afterwards(parts: Parts) -> None:
    media = await ready(parts, unique())
    upload = await parts.store.upload_of(media)
    assert upload is not None and not await exists(parts, upload)
    assert await parts.objects.get(key_of(media), 1 << 20) == PICTURE


async def test_a_file_that_was_removed_while_it_was_checked_stays_removed(parts: Parts) -> None:
    media = await completed(parts, unique())
    now = parts.clock.now()
    job = await claimed(parts, "slow")
    assert job is not None
    await parts.store.change(media, removed(media, now), Change("agent:x", now))
    after = kept(media, Facts((), "image/png", 1), now)
    with pytest.raises(Stale):
        await parts.store.change(media, after, Change("system", now, owner="slow"))
    assert await used_bytes(parts, media.workspace) == 0


async def test_an_upload_that_was_never_completed_ends_and_frees_its_room(parts: Parts) -> None:
    workspace = unique()
    member = manager_of(workspace)
    upload = await parts.uploading.begin_file(member, Announced("a.png", "image/png", QUOTA), None)
    await parts.sweeper.sweep()
    assert await used_bytes(parts, workspace) == QUOTA
    parts.clock.ahead += UPLOAD_LASTS
    with pytest.raises(Problem, match="not completed in time"):
        await parts.uploading.complete(member, upload.media)
    await parts.sweeper.sweep()
    media = await known(parts, upload.media)
    assert (media.state, media.code) == ("rejected", "UPLOAD_EXPIRED")
    assert await used_bytes(parts, workspace) == 0
    parts.clock.ahead += timedelta(days=1, seconds=1)
    await parts.sweeper.sweep()
    assert await parts.store.find(workspace, media.id) is None


async def test_what_was_uploaded_and_is_of_no_use_is_swept_and_what_a_job_needs_is_not(parts: Parts) -> None:
    media = await ready(parts, unique())
    upload = await parts.store.upload_of(media)
    assert upload is not None
    stray = INCOMING + str(uuid.uuid4())
    for key in (upload, stray):
        await parts.objects.put(key, b"later", "image/png")
    waiting = await completed(parts, unique())
    wanted = await parts.store.upload_of(waiting)
    assert wanted is not None
    await parts.sweeper.sweep()
    assert [await exists(parts, key) for key in (upload, stray, wanted)] == [True, True, True]
    parts.clock.ahead += INCOMING_LASTS + timedelta(minutes=1)
    await parts.sweeper.sweep()
    assert [await exists(parts, key) for key in (upload, stray, wanted)] == [False, False, True]


async def test_objects_go_two_days_after_nobody_refers_to_them(parts: Parts) -> None:
    workspace = unique()
    media, twin = await ready(parts, workspace), await ready(parts, workspace)
    assert key_of(media) == key_of(twin)
    elsewhere = await ready(parts, unique())
    now = parts.clock.now()
    await parts.store.change(media, removed(media, now), Change("agent:x", now))
    parts.clock.ahead += OBJECTS_LAST + timedelta(minutes=1)
    await parts.sweeper.sweep()
    assert await parts.store.find(workspace, media.id) is None
    parts.clock.ahead += OBJECTS_LAST + timedelta(minutes=1)
    await parts.sweeper.sweep()
    assert await exists(parts, key_of(media)), "the twin has it"
    assert await used_bytes(parts, workspace) == twin.charged
    now = parts.clock.now()
    await parts.store.change(twin, removed(twin, now), Change("agent:x", now))
    for left in (True, True, False):
        assert await exists(parts, key_of(twin)) is left
        parts.clock.ahead += OBJECTS_LAST + timedelta(minutes=1)
        await parts.sweeper.sweep()
    assert not await exists(parts, key_of(twin))
    assert await exists(parts, key_of(elsewhere))
    again = await ready(parts, workspace)
    assert await parts.objects.get(key_of(again), 1 << 20) == PICTURE


async def test_an_object_that_is_just_being_deleted_is_waited_for(parts: Parts) -> None:
    workspace = unique()
    media = await ready(parts, workspace)
    await parts.mongo.db.objects.update_one({"_id": key_of(media)}, {"$set": {"deleting": True}})
    other = await completed(parts, workspace)
    assert await parts.worker().work()
    assert (await known(parts, other)).state == "processing"
    await parts.mongo.db.objects.delete_one({"_id": key_of(media)})
    parts.clock.ahead += timedelta(minutes=2)
    assert await parts.worker().work()
    assert (await known(parts, other)).state == "ready"


async def test_what_a_message_refers_to_is_kept_for_ever(parts: Parts) -> None:
    media = await ready(parts, unique())
    jobs = parts.jobs()
    reference = MediaReferenced(
        workspace=media.workspace, conversation_id=CONVERSATION, message_id=MESSAGE, media_id=media.id
    )
    foreign = reference.model_copy(update={"workspace": unique()})
    await jobs.handle(batch(reference, reference, foreign))
    sent = await known(parts, media)
    assert (sent.used, sent.version) == (True, media.version + 1)
    now = parts.clock.now()
    await parts.store.change(sent, removed(sent, now), Change("agent:x", now))
    for _ in range(3):
        parts.clock.ahead += OBJECTS_LAST + timedelta(days=30)
        await parts.sweeper.sweep()
    assert await exists(parts, key_of(media))
    assert (await known(parts, media)).state == "ready"


async def test_the_sweep_says_how_much_each_workspace_keeps_and_what_waits(parts: Parts) -> None:
    media = await ready(parts, unique())
    await completed(parts, unique())
    await parts.sweeper.sweep()
    measured = parts.metrics.registry.get_sample_value
    assert measured("relaydesk_media_stored_bytes", {"workspace": media.workspace}) == media.charged
    assert measured("relaydesk_media_jobs_waiting", {"queue": "uploads"}) == 1
    assert measured("relaydesk_media_jobs_waiting", {"queue": "fetches"}) == 0
