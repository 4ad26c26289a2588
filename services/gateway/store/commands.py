"""`commands`: what members asked for under which key, the record that says so, and how it ended (DESIGN 7).

A document lives 15 days. `record` stays until the outcome is known, so that an undecided command can be produced again;
`pending` is the outbox's, and what a crash before the first produce leaves to the sweep.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from services.gateway.core import Outcome
from shared.contracts.events import TYPE_OF, ContactErased
from shared.runtime.mongo import Document, IndexModel, Mongo, PyMongoError, UpdateOne, is_duplicate
from shared.runtime.outbox import pending_entries
from shared.runtime.records import Outgoing

COMMANDS = "commands"
KEPT = timedelta(days=15)
INDEXES = (
    IndexModel("created_at", name="kept", expireAfterSeconds=int(KEPT.total_seconds())),
    IndexModel("conversation_id", name="conversation"),
)
_ERASED = TYPE_OF[ContactErased]

Status = Literal["pending", "accepted", "rejected"]


@dataclass(frozen=True, slots=True)
class NewCommand:
    """`digest` stands for the request, so that a key that comes with another one is noticed."""

    id: str
    workspace: str
    member: str
    digest: str
    conversation_id: str
    record: Outgoing


@dataclass(frozen=True, slots=True)
class Ending:
    """A command's last event. `seq` is None where nothing had to change or the command was rejected."""

    type: str
    seq: int | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CommandState:
    """`record` is there while the outcome is not."""

    id: str
    workspace: str
    member: str
    digest: str
    conversation_id: str
    status: Status
    ending: Ending | None
    record: Outgoing | None


class CommandStore:
    def __init__(self, mongo: Mongo) -> None:
        self._commands = mongo.db[COMMANDS]

    async def add(self, command: NewCommand, now: datetime) -> bool:
        """False where the id is taken: the document that is there is left as it is."""
        [entry] = pending_entries([command.record], now)
        document: Document = {
            "_id": command.id,
            "workspace": command.workspace,
            "member": command.member,
            "digest": command.digest,
            "conversation_id": command.conversation_id,
            "status": "pending",
            "created_at": now,
            "record": entry,
            "pending": [entry],
        }
        try:
            await self._commands.insert_one(document)
        except PyMongoError as error:
            if is_duplicate(error):
                return False
            raise
        return True

    async def find(self, ident: str, workspace: str) -> CommandState | None:
        document = await self._commands.find_one({"_id": ident, "workspace": workspace})
        return _state(document) if document else None

    async def find_all(self, commands: Mapping[str, str]) -> dict[str, CommandState]:
        """`commands`: id -> workspace. Those that are there, by id."""
        wanted = {"_id": {"$in": list(commands)}, "workspace": {"$in": list(set(commands.values()))}}
        found = await self._commands.find(wanted).to_list(None)
        return {row["_id"]: _state(row) for row in found if row["workspace"] == commands[row["_id"]]}


def decided(outcome: Outcome) -> UpdateOne:
    """The first outcome stays; nothing is left to publish."""
    ending = {"type": outcome.type, "seq": outcome.seq, "data": outcome.data}
    return UpdateOne(
        {"_id": outcome.command_id, "workspace": outcome.workspace, "status": "pending"},
        {"$set": {"status": outcome.status, "ending": ending}, "$unset": {"record": "", "pending": "", "outbox": ""}},
    )


def forgotten(conversation: str) -> tuple[Document, Document]:
    """Query and change: what accepted commands of this conversation (its document key) made is not kept any more. They
    stay known, so that none is done again; an undecided one loses its record with its outcome, as always."""
    workspace, _, ident = conversation.rpartition(":")
    said = {"workspace": workspace, "conversation_id": ident, "status": "accepted", "ending.type": {"$ne": _ERASED}}
    return said, {"$set": {"ending.data": {}}}


def _state(document: Document) -> CommandState:
    ending, record = document.get("ending"), document.get("record")
    return CommandState(
        document["_id"],
        document["workspace"],
        document["member"],
        document["digest"],
        document["conversation_id"],
        document["status"],
        Ending(ending["type"], ending["seq"], ending["data"]) if ending else None,
        _outgoing(record) if record else None,
    )


def _outgoing(entry: Document) -> Outgoing:
    headers = tuple((name, bytes(content)) for name, content in entry["headers"])
    return Outgoing(entry["topic"], entry["key"], bytes(entry["value"]), headers)
