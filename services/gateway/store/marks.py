"""`marks`: how far each member has read each conversation, the outgoing `conversation.read` inside."""

from dataclasses import dataclass
from datetime import datetime

from shared.contracts.ids import document_key
from shared.runtime.mongo import Mongo, PyMongoError, is_duplicate
from shared.runtime.outbox import pending_entries
from shared.runtime.records import Outgoing

MARKS = "marks"


@dataclass(frozen=True, slots=True)
class Mark:
    workspace: str
    conversation_id: str
    member: str
    up_to_seq: int

    @property
    def key(self) -> str:
        return f"{document_key(self.workspace, self.conversation_id)}:{self.member}"


class MarkStore:
    def __init__(self, mongo: Mongo) -> None:
        self._marks = mongo.db[MARKS]

    async def raise_to(self, mark: Mark, record: Outgoing, now: datetime) -> bool:
        """False where the member has read as far or farther already."""
        lower = {"_id": mark.key, "up_to_seq": {"$lt": mark.up_to_seq}}
        change = {
            "$set": {"workspace": mark.workspace, "member": mark.member, "up_to_seq": mark.up_to_seq},
            "$push": {"pending": {"$each": pending_entries([record], now)}},
        }
        try:
            await self._marks.update_one(lower, change, upsert=True)
        except PyMongoError as error:
            if not is_duplicate(error):
                raise
            # it is there: with as much, or made this moment by another one with less
            return (await self._marks.update_one(lower, change)).matched_count > 0
        return True
