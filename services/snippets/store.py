"""`snippets`: one document a snippet, its events inside until they are published; `shelves`: how many a workspace has.

A snippet and the count of its workspace change in one transaction: the limit is exact, whoever dies in between. A
shelf's `revision` rises with every change, so that whoever keeps a copy knows when it is old.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from services.snippets.core import Fallback, Missing
from services.snippets.shelf import MOST, Draft, Snippet, removed, saved
from shared.contracts.events import CloudEvent
from shared.contracts.ids import document_key
from shared.contracts.times import to_timestamp
from shared.contracts.topics import WORKSPACE_EVENTS
from shared.runtime.mongo import Document, IndexModel, Mongo, PyMongoError, Session, UpdateOne, is_duplicate
from shared.runtime.outbox import Outbox, pending_entries
from shared.runtime.records import Outgoing
from shared.runtime.tasks import ended
from shared.runtime.turns import Turns

log = structlog.stdlib.get_logger(__name__)

SNIPPETS = "snippets"
SHELVES = "shelves"
KEEP_REMOVED = timedelta(days=30)
"""A removed snippet's document waits so long, in case its event couldn't be published yet."""

TELL_AT_ONCE = 100
WRITTEN_AT_ONCE = 500

INDEXES = (
    IndexModel(
        [("workspace", 1), ("name_key", 1)],
        name="one_name",
        unique=True,
        partialFilterExpression={"name_key": {"$type": "string"}},
    ),
    IndexModel("removed_at", name="removed", expireAfterSeconds=int(KEEP_REMOVED.total_seconds())),
)


class NameTaken(Exception):
    """Another snippet of the workspace has the name."""


class Full(Exception):
    """The workspace has as many snippets as it may."""


class Stale(Exception):
    """It was changed, or removed, since it was read."""


@dataclass(frozen=True, slots=True)
class Writing:
    """Of many at once: who writes and when, and whom to tell how many are written."""

    actor: str
    at: datetime
    tell: Callable[[int], None]

    def pending(self, snippet: Snippet) -> list[Document]:
        return _pending(saved(snippet, self.actor), self.at)


class SnippetStore:
    """Component (it makes its indexes). Every query names the workspace."""

    def __init__(self, mongo: Mongo, outbox: Outbox) -> None:
        self._mongo = mongo
        self._outbox = outbox
        self._snippets = mongo.db[SNIPPETS]
        self._shelves = mongo.db[SHELVES]
        self._turns = Turns()
        self._telling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._snippets.create_indexes(list(INDEXES))

    async def stop(self) -> None:
        await ended(self._telling)

    async def find(self, workspace: str, ident: str) -> Snippet | None:
        found = await self._snippets.find_one(_there(workspace, ident))
        return _snippet(found) if found else None

    async def find_all(self, workspace: str, idents: list[str]) -> list[Snippet]:
        """Those that are there, in this order."""
        keys = [document_key(workspace, ident) for ident in idents]
        wanted = {"_id": {"$in": keys}, "workspace": workspace, "name_key": {"$type": "string"}}
        found = {row["_id"]: _snippet(row) for row in await self._snippets.find(wanted).to_list(None)}
        return [found[key] for key in keys if key in found]

    async def revision(self, workspace: str) -> int:
        shelf = await self._shelves.find_one({"_id": workspace})
        return int(shelf["revision"]) if shelf else 0

    async def contents(self, workspace: str) -> tuple[int, list[Snippet]]:
        """All of them, and a revision that they are as new as, at least."""
        revision = await self.revision(workspace)
        found = self._snippets.find({"workspace": workspace, "name_key": {"$type": "string"}})
        return revision, [_snippet(row) for row in await found.to_list(None)]

    async def add(self, snippet: Snippet, actor: str, at: datetime) -> None:
        """NameTaken, Full."""

        async def work(session: Session) -> None:
            await self._make_room(snippet.workspace, session)
            document = _document(snippet) | {"pending": _pending(saved(snippet, actor), at)}
            await self._checked(self._snippets.insert_one(document, session=session), NameTaken)

        await self._in_turn(snippet, work)

    async def put(self, snippet: Snippet, actor: str, at: datetime) -> None:
        """The version after the one that is there. NameTaken, Stale."""
        change = [_change(snippet, _pending(saved(snippet, actor), at))]

        async def work(session: Session) -> None:
            done = await self._checked(self._snippets.bulk_write(change, session=session), NameTaken)
            if not done.matched_count:
                raise Stale
            await self._note(snippet.workspace, 0, session)

        await self._in_turn(snippet, work)

    async def remove(self, snippet: Snippet, actor: str, at: datetime) -> None:
        """As it was read. Stale."""
        event = removed(snippet, actor, to_timestamp(at))
        change = {
            "$unset": {"name_key": ""},
            "$set": {"version": snippet.version + 1, "removed_at": at},
            "$push": {"pending": {"$each": _pending(event, at)}},
        }

        async def work(session: Session) -> None:
            where = _there(snippet.workspace, snippet.id) | {"version": snippet.version}
            if not (await self._snippets.update_one(where, change, session=session)).matched_count:
                raise Stale
            await self._note(snippet.workspace, -1, session)

        await self._in_turn(snippet, work)

    async def take(self, workspace: str, snippets: tuple[list[Snippet], list[Snippet]], writing: Writing) -> None:
        """New ones and next versions, all or none. NameTaken, Stale, Full. Their events follow in the background."""
        added, updated = snippets

        async def work(session: Session) -> None:
            await self._make_room(workspace, session, len(added))
            for at in range(0, len(added), WRITTEN_AT_ONCE):
                part = added[at : at + WRITTEN_AT_ONCE]
                rows = [_document(one) | {"pending": writing.pending(one)} for one in part]
                await self._checked(self._snippets.insert_many(rows, session=session), NameTaken)
                writing.tell(at + len(part))
            for at in range(0, len(updated), WRITTEN_AT_ONCE):
                changes = [_change(one, writing.pending(one)) for one in updated[at : at + WRITTEN_AT_ONCE]]
                done = await self._checked(self._snippets.bulk_write(changes, session=session), NameTaken)
                if done.matched_count != len(changes):
                    raise Stale
                writing.tell(len(added) + at + len(changes))

        async with self._turns.of(workspace):
            await self._mongo.transaction(work)
        task = asyncio.create_task(self._tell([document_key(workspace, one.id) for one in (*added, *updated)]))
        self._telling.add(task)
        task.add_done_callback(self._told)

    def _told(self, task: "asyncio.Task[None]") -> None:
        self._telling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("an import's events are left to the sweep", reason=type(error).__name__)

    async def _tell(self, keys: list[str]) -> None:
        """Where it fails, the sweep goes on with it."""
        for at in range(0, len(keys), TELL_AT_ONCE):
            await self._outbox.flush_all(SNIPPETS, keys[at : at + TELL_AT_ONCE])

    async def used(self, snippet: Snippet, at: datetime) -> None:
        """Count a rendering; no new version."""
        where = _there(snippet.workspace, snippet.id)
        await self._snippets.update_one(where, {"$inc": {"uses": 1}, "$set": {"used_at": at}})

    async def _in_turn(self, snippet: Snippet, work: Any) -> None:
        """One change of a shelf at a time here: between replicas the transactions find out."""
        async with self._turns.of(snippet.workspace):
            await self._mongo.transaction(work)
        await self._outbox.flush(SNIPPETS, document_key(snippet.workspace, snippet.id))

    async def _make_room(self, workspace: str, session: Session, more: int = 1) -> None:
        """A shelf that is too full doesn't match, and its upsert finds that it is there."""
        room = {"_id": workspace, "count": {"$lte": MOST - more}}
        change = {"$inc": {"count": more, "revision": 1}}
        await self._checked(self._shelves.update_one(room, change, upsert=True, session=session), Full)

    async def _note(self, workspace: str, more: int, session: Session) -> None:
        change = {"$inc": {"count": more, "revision": 1}}
        await self._shelves.update_one({"_id": workspace}, change, session=session)

    async def _checked(self, write: Any, duplicate: type[Exception]) -> Any:
        try:
            return await write
        except PyMongoError as error:
            if is_duplicate(error):
                raise duplicate from None
            raise


def _there(workspace: str, ident: str) -> Document:
    return {"_id": document_key(workspace, ident), "workspace": workspace, "name_key": {"$type": "string"}}


def _change(snippet: Snippet, pending: list[Document]) -> UpdateOne:
    """To this version from the one before."""
    where = _there(snippet.workspace, snippet.id) | {"version": snippet.version - 1}
    return UpdateOne(where, {"$set": _document(snippet), "$push": {"pending": {"$each": pending}}})


def _pending(event: CloudEvent, at: datetime) -> list[Document]:
    return pending_entries([Outgoing(WORKSPACE_EVENTS, event.workspace, event.encoded(), event.headers())], at)


def _document(snippet: Snippet) -> Document:
    """Without `uses` and `used_at`, which renderings write."""
    draft = snippet.draft
    missing: Any = {"fallback": draft.missing.text} if isinstance(draft.missing, Fallback) else draft.missing
    return {
        "_id": document_key(snippet.workspace, snippet.id),
        "workspace": snippet.workspace,
        "id": snippet.id,
        "name": draft.name,
        "name_key": draft.name_key,
        "message": draft.message,
        "theme": draft.theme,
        "missing": missing,
        "variables": list(draft.variables),
        "version": snippet.version,
        "updated_at": snippet.updated_at,
    }


def _snippet(row: Mapping[str, Any]) -> Snippet:
    missing: Missing = Fallback(row["missing"]["fallback"]) if isinstance(row["missing"], dict) else row["missing"]
    draft = Draft(row["name"], row["message"], row["theme"], missing, tuple(row["variables"]))
    uses, used_at = row.get("uses", 0), row.get("used_at")
    last = to_timestamp(used_at) if used_at else None
    return Snippet(row["workspace"], row["id"], draft, row["version"], uses, row["updated_at"], last)
