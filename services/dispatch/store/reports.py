"""What entries have to tell, out of their documents."""

from shared.runtime.outbox import Outbox


class OutboxReports:
    """`Reports` of one collection."""

    def __init__(self, outbox: Outbox, collection: str) -> None:
        self._outbox = outbox
        self._collection = collection

    async def flush(self, ident: str) -> None:
        await self._outbox.flush(self._collection, ident)
