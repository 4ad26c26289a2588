"""The read model as the API asks it: conversations, inbox pages, threads, counters. Reads only."""

from dataclasses import dataclass
from typing import Any, Literal

from services.gateway.core import ConversationState
from services.gateway.store.documents import (
    CONVERSATIONS,
    COUNTERS,
    EVENTS,
    POSITIONS,
    conversation_state,
    counter_id,
    row_id,
)
from shared.contracts.ids import document_key
from shared.contracts.resources import ConversationStatus
from shared.runtime.mongo import DESCENDING, Database, Document, IndexModel, Mongo

NOT_ERASED = "0"
"""Behind the activity of everything erased, which has no time, and before all others."""

View = Literal["all", "mine", "unassigned"]

CONVERSATION_INDEXES = (
    IndexModel([("workspace", 1), ("status", 1), ("activity", DESCENDING)], name="inbox"),
    IndexModel([("workspace", 1), ("assignee", 1), ("status", 1), ("activity", DESCENDING)], name="assigned"),
)


@dataclass(frozen=True, slots=True)
class Counts:
    open: int
    unassigned: int
    mine: int
    unread: int
    needs_human: int


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: at most `limit` items behind `after`, the last item of the page before."""

    limit: int
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Inbox:
    """Whose view of which conversations; `status` None = open and closed ones."""

    workspace: str
    member: str
    view: View = "all"
    status: ConversationStatus | None = None


class InboxStore:
    """Every query names the workspace. `model`: where the read model is, when not in the gateway's own database."""

    def __init__(self, mongo: Mongo, model: Database | None = None) -> None:
        self._db = mongo.db if model is None else model

    async def conversation(self, workspace: str, ident: str) -> ConversationState | None:
        """Also one that is not opened: `status` None."""
        wanted = {"_id": document_key(workspace, ident), "workspace": workspace}
        document = await self._db[CONVERSATIONS].find_one(wanted)
        return conversation_state(document) if document else None

    async def page(self, inbox: Inbox, page: Page) -> list[ConversationState]:
        """The latest activity first."""
        wanted = query_of(inbox)
        if page.after is not None:
            wanted["activity"] = {"$lt": page.after}
        found = (
            self._db[CONVERSATIONS].find(wanted).hint(index_of(inbox)).sort("activity", DESCENDING).limit(page.limit)
        )
        return [conversation_state(document) for document in await found.to_list(None)]

    async def thread(self, workspace: str, ident: str, below: int, limit: int) -> list[dict[str, Any]]:
        """The last `limit` events with a seq below `below`, in ascending seq."""
        key = document_key(workspace, ident)
        wanted = {"_id": {"$gte": row_id((key, 0)), "$lt": row_id((key, below))}, "workspace": workspace}
        found = self._db[EVENTS].find(wanted, {"event": 1}).sort("_id", DESCENDING).limit(limit)
        return [row["event"] for row in await found.to_list(None)][::-1]

    async def thread_onwards(
        self, workspace: str, ident: str, after: int, up_to: int, limit: int
    ) -> list[dict[str, Any]]:
        """The first `limit` events behind the seq `after` and not beyond `up_to`, in ascending seq."""
        key = document_key(workspace, ident)
        wanted = {"_id": {"$gt": row_id((key, after)), "$lte": row_id((key, up_to))}, "workspace": workspace}
        found = self._db[EVENTS].find(wanted, {"event": 1}).sort("_id", 1).limit(limit)
        return [row["event"] for row in await found.to_list(None)]

    async def workspaces(self) -> list[str]:
        found: list[str] = await self._db[CONVERSATIONS].distinct("workspace")
        return found

    async def idle(self, workspace: str, before: str, after: str, limit: int) -> list[ConversationState]:
        """Not erased, and without activity since `before` (as on the wire); those behind the activity `after`, the
        longest idle first."""
        activities = {"$gt": after or NOT_ERASED, "$lt": before}
        wanted = {"workspace": workspace, "status": {"$in": [None, "open", "closed"]}, "activity": activities}
        found = self._db[CONVERSATIONS].find(wanted).hint("inbox").sort("activity", 1).limit(limit)
        return [conversation_state(document) for document in await found.to_list(None)]

    async def counts(self, workspace: str, member: str) -> Counts:
        everybody, own = counter_id((workspace, None)), counter_id((workspace, member))
        wanted = {"_id": {"$in": [everybody, own]}, "workspace": workspace}
        found = {row["_id"]: row for row in await self._db[COUNTERS].find(wanted).to_list(None)}
        total, mine = found.get(everybody, {}), found.get(own, {})
        return Counts(
            open=total.get("open", 0),
            unassigned=total.get("unassigned", 0),
            mine=mine.get("open", 0),
            unread=total.get("unread", 0),
            needs_human=total.get("needs_human", 0),
        )

    async def position(self, partition: str) -> int:
        """The offset of the first event that is not applied."""
        document = await self._db[POSITIONS].find_one({"_id": partition})
        return document["offset"] if document else 0


def index_of(inbox: Inbox) -> str:
    """The planner, left alone, may take `inbox` for the few that are one's own and read the whole workspace."""
    return "inbox" if inbox.view == "all" else "assigned"


def query_of(inbox: Inbox) -> Document:
    wanted: Document = {"workspace": inbox.workspace}
    wanted["status"] = inbox.status or {"$in": ["open", "closed"]}
    match inbox.view:
        case "mine":
            wanted["assignee"] = inbox.member
        case "unassigned":
            wanted["assignee"] = None
        case "all":
            pass
    return wanted
