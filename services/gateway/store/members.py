"""`members`: one document a member, its outgoing `member.updated` inside; `audit`: who changed whom, for good."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.gateway.membership import Claims, MemberState, updated
from shared.contracts.ids import document_key
from shared.contracts.times import to_timestamp
from shared.contracts.topics import WORKSPACE_EVENTS
from shared.runtime.mongo import Document, IndexModel, Mongo, PyMongoError, Session, is_duplicate
from shared.runtime.outbox import pending_entries
from shared.runtime.records import Outgoing

MEMBERS = "members"
AUDIT = "audit"
INDEXES = (IndexModel([("workspace", 1), ("id", 1)], name="listed"), IndexModel("changed_at", name="watched"))
INACTIVE = IndexModel([("active", 1), ("_id", 1)], name="inactive", partialFilterExpression={"active": False})
AUDIT_INDEXES = (IndexModel([("workspace", 1), ("at", -1)], name="history"),)


@dataclass(frozen=True, slots=True)
class By:
    """Whose doing a change is (`agent:ID`, or `system` for what a token said), and when."""

    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Watched:
    """A member and when it was changed last, by MongoDB's clock: all replicas compare the same one."""

    member: MemberState
    changed_at: datetime


class MemberStore:
    """Every query names the workspace but for the ones of the background parts, which look after all of them."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._members = mongo.db[MEMBERS]
        self._audit = mongo.db[AUDIT]

    async def find(self, workspace: str, ident: str) -> MemberState | None:
        wanted = {"_id": document_key(workspace, ident), "workspace": workspace}
        document = await self._members.find_one(wanted)
        return _state(document) if document else None

    async def listed(self, workspace: str, limit: int, after: str | None) -> list[MemberState]:
        """By id."""
        wanted: Document = {"workspace": workspace} | ({"id": {"$gt": after}} if after is not None else {})
        found = await self._members.find(wanted).sort("id", 1).limit(limit).to_list(None)
        return [_state(document) for document in found]

    async def put(self, state: MemberState, by: By) -> MemberState | None:
        """Store it as the version after `state.version`; None where somebody else was faster."""
        return await self._put(state, by, None)

    async def put_audited(self, before: MemberState, after: MemberState, by: By) -> MemberState | None:
        """The same, and an entry in the audit with it: both or none."""
        entry = {
            "workspace": after.workspace,
            "at": by.at,
            "by": by.actor,
            "what": "member",
            "subject": after.id,
            "before": _audited(before),
            "after": _audited(after),
        }

        async def work(session: Session) -> MemberState | None:
            stored = await self._put(after, by, session)
            if stored is not None:
                await self._audit.insert_one(dict(entry), session=session)
            return stored

        return await self._mongo.transaction(work)

    async def changed_since(self, moment: datetime | None) -> list[Watched]:
        """Members of all workspaces, the least recently changed first; None = the latest one alone."""
        found = self._members.find({} if moment is None else {"changed_at": {"$gte": moment}})
        found = found.sort("changed_at", -1).limit(1) if moment is None else found.sort("changed_at", 1)
        return [Watched(_state(document), document["changed_at"]) for document in await found.to_list(None)]

    async def inactive(self, after: str, limit: int) -> list[MemberState]:
        """Deactivated members of all workspaces, by document key; `after` = the last key of the page before."""
        wanted = {"active": False, "_id": {"$gt": after}}
        return [_state(row) for row in await self._members.find(wanted).sort("_id", 1).limit(limit).to_list(None)]

    async def _put(self, state: MemberState, by: By, session: Session | None) -> MemberState | None:
        after = replace(state, version=state.version + 1)
        event = updated(after, by.actor, to_timestamp(by.at))
        record = Outgoing(WORKSPACE_EVENTS, after.workspace, event.encoded(), event.headers())
        change = {
            "$set": _document(after),
            "$push": {"pending": {"$each": pending_entries([record], by.at)}},
            "$currentDate": {"changed_at": True},
        }
        at = {"_id": member_key(after), "version": state.version}
        try:
            done = await self._members.update_one(at, change, upsert=state.version == 0, session=session)
        except PyMongoError as error:
            if is_duplicate(error):
                return None
            raise
        return after if done.matched_count or done.upserted_id is not None else None


def member_key(state: MemberState) -> str:
    return document_key(state.workspace, state.id)


def _document(state: MemberState) -> Document:
    claims = state.claims
    return {
        "workspace": state.workspace,
        "id": state.id,
        "version": state.version,
        "active": state.active,
        "claims": {"name": claims.name, "role": claims.role, "expires_at": claims.expires_at} if claims else None,
        "role_set": state.role_set,
        "name_set": state.name_set,
    }


def _state(document: Document) -> MemberState:
    claims: dict[str, Any] | None = document["claims"]
    return MemberState(
        workspace=document["workspace"],
        id=document["id"],
        version=document["version"],
        active=document["active"],
        claims=Claims(claims["name"], claims["role"], claims["expires_at"]) if claims else None,
        role_set=document["role_set"],
        name_set=document["name_set"],
    )


def _audited(state: MemberState) -> Document:
    return {"role": state.role, "name": state.name, "active": state.active}
