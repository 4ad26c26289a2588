"""The collections' indexes, made at start; a query without one of them is a fault."""

from collections.abc import Mapping, Sequence

from services.gateway.store import commands, inbox, members
from services.gateway.store.documents import CONVERSATIONS
from shared.runtime.engine_errors import as_transient
from shared.runtime.mongo import IndexModel, Mongo, PyMongoError

INDEXES: Mapping[str, Sequence[IndexModel]] = {
    CONVERSATIONS: inbox.CONVERSATION_INDEXES,
    commands.COMMANDS: commands.INDEXES,
    members.MEMBERS: (*members.INDEXES, members.INACTIVE),
    members.AUDIT: members.AUDIT_INDEXES,
}


class Indexes:
    """A component: start it after Mongo, before anything that queries."""

    def __init__(self, mongo: Mongo) -> None:
        self._db = mongo.db

    async def start(self) -> None:
        """Repeatable. Transient while MongoDB is away."""
        for collection, indexes in INDEXES.items():
            try:
                await self._db[collection].create_indexes(list(indexes))
            except PyMongoError as error:
                raise as_transient(error) from error

    async def stop(self) -> None:
        """Nothing is open."""
