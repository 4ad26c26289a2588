"""The collections' indexes, made at start; a query without one of them is a fault."""

from collections.abc import Mapping, Sequence

from services.gateway.store import commands, inbox, members, search
from services.gateway.store.documents import CONVERSATIONS, WORDS
from shared.runtime.engine_errors import as_transient
from shared.runtime.mongo import Database, IndexModel, Mongo, PyMongoError

READ_MODEL_INDEXES: Mapping[str, Sequence[IndexModel]] = {
    CONVERSATIONS: inbox.CONVERSATION_INDEXES,
    WORDS: search.WORD_INDEXES,
}
OWN_INDEXES: Mapping[str, Sequence[IndexModel]] = {
    commands.COMMANDS: commands.INDEXES,
    members.MEMBERS: (*members.INDEXES, members.INACTIVE),
    members.AUDIT: members.AUDIT_INDEXES,
}


class Indexes:
    """A component: start it after Mongo, before anything that queries."""

    def __init__(self, mongo: Mongo, model: Database | None = None) -> None:
        self._own = mongo.db
        self._model = mongo.db if model is None else model

    async def start(self) -> None:
        """Repeatable. Transient while MongoDB is away."""
        await make_indexes(self._own, OWN_INDEXES)
        await make_indexes(self._model, READ_MODEL_INDEXES)

    async def stop(self) -> None:
        """Nothing is open."""


async def make_indexes(db: Database, wanted: Mapping[str, Sequence[IndexModel]]) -> None:
    """Repeatable. Transient while MongoDB is away."""
    for collection, indexes in wanted.items():
        try:
            await db[collection].create_indexes(list(indexes))
        except PyMongoError as error:
            raise as_transient(error) from error
