"""Erasures and what comes late, early or meanwhile, and who dies at it, on real engines: it ends the same."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from services.media.core import DRAFT_LASTS, UPLOAD_LASTS, Media
from services.media.erasing import NOTES_LAST
from services.media.handlers import MediaJobs
from shared.contracts import topics
from shared.contracts.shape import Shape
from shared.runtime.problems import Problem
from tests.integration.media.installation import Installation, Parts, unique
from tests.integration.media.kept import used_bytes
from tests.integration.media.records import batch
from tests.integration.media.story import OTHER, SEEN, Story, records


class Died(Exception):
    """Where a process ends."""


async def never(*_: Any) -> bool:
    return False


# late, early, at the same time


async def test_a_file_that_is_to_be_fetched_late_is_not_even_begun(story: Story) -> None:
    await story.erased()
    late, next_one = story.file_of(SEEN), story.file_of(SEEN + 2)
    await story.jobs.handle(batch(late, next_one, story.erasure(), late))
    assert await story.parts.store.whatever(story.workspace, late.attachment.media_id) is None
    assert (await story.now(next_one.attachment.media_id)).state == "processing"
    assert await records(story.installation, late.attachment.media_id) == []


async def test_an_older_erasure_that_comes_again_takes_back_nothing_of_a_newer_one(story: Story) -> None:
    await story.erased(30)
    await story.erased(SEEN)
    late = story.file_of(20)
    await story.jobs.handle(batch(late))
    assert await story.parts.store.whatever(story.workspace, late.attachment.media_id) is None


async def test_an_erasure_of_another_workspace_changes_nothing(story: Story) -> None:
    draft = await story.draft()
    foreign = story.erasure().model_copy(update={"workspace": unique()})
    await story.jobs.handle(batch(foreign))
    assert await story.now(draft.id) == draft


async def test_a_file_that_is_noted_while_its_conversation_is_erased_goes(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica erases after this one looked for a note, and finds nothing yet."""
    expect = story.parts.store.expect

    async def overtaken(*args: Any) -> None:
        await story.erased()
        await expect(*args)

    monkeypatch.setattr(story.parts.store, "expect", overtaken)
    wanted = story.file_of(3)
    await story.jobs.handle(batch(wanted))
    assert await story.is_erased(wanted.attachment.media_id)
    assert (await records(story.installation, wanted.attachment.media_id))[-1].media.filename is None


async def test_a_file_that_is_noted_while_its_conversation_is_looked_through_goes(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, wanted = story.parts.store.of_conversation, story.file_of(3)

    async def overtaken(*args: Any) -> list[str]:
        found = await look(*args)
        await story.jobs.handle(batch(wanted))
        return found

    monkeypatch.setattr(story.parts.store, "of_conversation", overtaken)
    await story.erased()
    assert await story.parts.store.whatever(story.workspace, wanted.attachment.media_id) is None


async def test_whoever_dies_after_noting_a_file_is_followed_by_one_who_looks(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*args: Any) -> None:
        await story.erased()
        await expect(*args)
        raise Died

    expect, wanted = story.parts.store.expect, story.file_of(3)
    monkeypatch.setattr(story.parts.store, "expect", dies)
    with pytest.raises(Died):
        await story.jobs.handle(batch(wanted))
    monkeypatch.setattr(story.parts.store, "expect", expect)
    assert not await story.is_erased(wanted.attachment.media_id)
    monkeypatch.setattr(story.parts.erasing, "is_over", never)  # its first look came before
    await story.jobs.handle(batch(wanted))
    assert await story.is_erased(wanted.attachment.media_id)


async def test_a_file_of_another_conversation_goes_when_its_last_message_is_known_late(story: Story) -> None:
    elsewhere = story.elsewhere()
    media = await elsewhere.draft()
    await story.erased()
    await story.jobs.handle(batch(story.sent(media.id, 5)))
    assert await story.is_erased(media.id)
    kept = await elsewhere.draft(OTHER)
    await story.jobs.handle(batch(story.sent(kept.id, SEEN + 1), story.erasure(), story.sent(kept.id, 5)))
    assert (await story.now(kept.id)).state == "ready"


async def test_an_upload_that_is_begun_while_its_conversation_is_erased_goes(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, idents = story.parts.store.begin, []

    async def overtaken(media: Media, *rest: Any) -> None:
        await story.erased()
        await begin(media, *rest)
        idents.append(media.id)

    monkeypatch.setattr(story.parts.store, "begin", overtaken)
    with pytest.raises(Problem, match="no such conversation"):
        await story.begun()
    assert await story.is_erased(idents[0])
    assert await used_bytes(story.parts, story.workspace) == 0
    story.installation.gateway.seqs[story.conversation] = SEEN + 2
    monkeypatch.setattr(story.parts.store, "begin", begin)
    assert (await story.begun()).media.state == "uploading"


async def test_an_upload_whose_maker_died_at_that_moment_goes_with_the_sweep(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story.parts.erasing, "is_over", never)
    await story.erased()
    upload = await story.begun()
    await story.parts.sweeper.sweep()
    story.parts.clock.ahead += UPLOAD_LASTS
    await story.parts.sweeper.sweep()
    assert await story.is_erased(upload.media.id)
    story.parts.clock.ahead += timedelta(days=1, minutes=1)
    await story.parts.sweeper.sweep()
    assert await story.parts.store.find(story.workspace, upload.media.id) is None


async def test_a_draft_that_was_begun_after_the_erasure_stays_though_the_order_comes_late(story: Story) -> None:
    story.installation.gateway.seqs[story.conversation] = SEEN + 2
    draft = await story.draft()
    await story.erased()
    assert await story.now(draft.id) == draft
    story.parts.clock.ahead += DRAFT_LASTS
    await story.parts.sweeper.sweep()
    assert (await story.now(draft.id)).code == "MEDIA_EXPIRED"


async def test_notes_last_longer_than_records_come_again(story: Story) -> None:
    await story.erased()
    answer = await story.parts.mongo.db.command({"listIndexes": "erasures"})
    (index,) = [one for one in answer["cursor"]["firstBatch"] if one["name"] == "old"]
    assert index["expireAfterSeconds"] == NOTES_LAST.total_seconds()
    week = topics.TOPICS[topics.MEDIA_JOBS].retention
    assert week is not None and week < NOTES_LAST


async def test_two_replicas_at_the_same_time_leave_nothing(installation: Installation, parts: Parts) -> None:
    stories = [Story(installation, parts) for _ in range(25)]
    wanted = [[story.file_of(seq) for seq in (3, 4, SEEN, SEEN + 1)] for story in stories]
    drafts = [await story.due() for story in stories]

    async def handled(jobs: MediaJobs, shapes: list[Shape]) -> None:
        for shape in shapes:
            await jobs.handle(batch(shape))

    files = [one for row in zip(*wanted, strict=True) for one in row]
    sent = [story.sent(draft.id, 5) for story, draft in zip(stories, drafts, strict=True)]
    erasures = [story.erasure() for story in stories]
    worker = parts.worker()
    await asyncio.gather(
        handled(parts.jobs(), [*files[:50], *sent]),
        handled(parts.jobs(), [*erasures]),
        handled(parts.jobs(), [*files[50:]]),
        *(worker.work() for _ in range(5)),
    )
    for story, files_of, draft in zip(stories, wanted, drafts, strict=True):
        for one in files_of[:3]:
            found = await parts.store.whatever(story.workspace, one.attachment.media_id)
            assert found is None or await story.is_erased(found.id)
        assert (await story.now(files_of[3].attachment.media_id)).state == "processing"
        assert await story.is_erased(draft.id)
        assert await used_bytes(parts, story.workspace) == 0


# deaths


class Deaths:
    """Dies before or after the call that it is told, of those to the engines."""

    def __init__(self, parts: Parts, patch: pytest.MonkeyPatch, at: int, afterwards: bool) -> None:
        self.calls, self.at, self.afterwards = 0, at, afterwards
        for owner, name in (
            (parts.erasing._notes, "update_one"),
            (parts.store, "of_conversation"),
            (parts.store, "whatever"),
            (parts.keeper, "let_go"),
            (parts.mongo, "transaction"),
            (parts.store._outbox, "flush"),
        ):
            patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def counted(*args: Any, **options: Any) -> Any:
            self.calls += 1
            dies = self.calls == self.at
            if dies and not self.afterwards:
                raise Died
            answer = await call(*args, **options)
            if dies:
                raise Died
            return answer

        return counted


@pytest.mark.parametrize("afterwards", [False, True])
async def test_whoever_dies_at_any_step_is_followed_by_one_who_ends_it(
    installation: Installation, parts: Parts, monkeypatch: pytest.MonkeyPatch, afterwards: bool
) -> None:
    at, died = 0, True
    while died:
        at += 1
        story = Story(installation, parts)
        draft, due = await story.draft(), await story.due(OTHER)
        with monkeypatch.context() as patch:
            deaths = Deaths(parts, patch, at, afterwards)
            with suppress(Died):
                await story.erased()
            died = deaths.calls >= at
        await story.erased()
        assert [await story.is_erased(one.id) for one in (draft, due)] == [True, True]
        assert [(await story.now(one.id)).version for one in (draft, due)] == [draft.version + 1, due.version + 1]
        assert await used_bytes(parts, story.workspace) == 0
        await parts.store._outbox.flush_all("media", [f"{story.workspace}:{one.id}" for one in (draft, due)])
        for one in (draft, due):
            assert (await records(installation, one.id))[-1].media.code == "CONTACT_ERASED"
    assert at == 11, "each call of an erasure of two media was the last one of somebody"
