"""Writes that are worth waiting for a database that is away, and reports that the sweep can send as well."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from services.dispatch.ports import Reports
from shared.runtime.engine_errors import is_away
from shared.runtime.records import Outgoing

log = structlog.stdlib.get_logger(__name__)

INSIST_EVERY_S = 0.5


async def insist(write: Callable[[], Awaitable[bool]], ident: str) -> bool:
    """Repeat until the database answers: nobody else knows what came of the attempt. Blocks as long as that takes."""
    while True:
        try:
            return await write()
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("an outcome waits for the database", entry=ident, reason=type(error).__name__)
        await asyncio.sleep(INSIST_EVERY_S)


async def publish(reports: Reports, ident: str, record: Outgoing) -> None:
    """Tell what the entry has to tell; what can't go out now is in the document, and swept."""
    try:
        await reports.tell(ident, record)
    except Exception as error:
        if not is_away(error):
            raise
        log.warning("a report waits for the sweep", entry=ident, reason=type(error).__name__)
