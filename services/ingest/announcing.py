"""The topic `channels` is what all others know of channels. Made anew (Kafka lost its disks), it would stay empty: then
every channel is announced once more.
"""

from collections.abc import Callable

import structlog

from services.ingest.registry import ChannelNews, announcement
from services.ingest.store import ChannelStore

PAGE = 100

_log = structlog.stdlib.get_logger(__name__)


class Announcing:
    """Component, after the outbox. `incarnation`: the topic's present life.

    Safe to die in between and to run in every replica at once: a record comes again with the version it has.
    """

    def __init__(self, store: ChannelStore, news: ChannelNews, incarnation: Callable[[], str]) -> None:
        self._store, self._news, self._incarnation = store, news, incarnation

    async def start(self) -> None:
        """Returns when all are in the topic, or kept for the sweep."""
        incarnation = self._incarnation()
        if await self._store.announced_to() == incarnation:
            return
        after, count = "", 0
        while found := await self._store.page_of_all(after, PAGE):
            for channel in found:
                await self._store.announce(channel, announcement(channel))
                await self._news.tell(channel.id)
            after, count = found[-1].id, count + len(found)
        await self._store.note_announced_to(incarnation)
        _log.info("all channels are announced to a new topic", channels=count)

    async def stop(self) -> None:
        """Nothing is open."""
