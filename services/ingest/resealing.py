"""After a change of `secrets_key`: channels' secrets are sealed anew, so that the key before may go.

Safe to run in every replica at once, and to die in between: a channel is written only as the next version of what was
read, and one that is sealed with the current key is left alone.
"""

from typing import Protocol

import structlog

from services.ingest.channel_rules import resealed
from services.ingest.registry import ChannelNews, announcement
from services.ingest.store import AuditEntry, Change, ChannelStore
from shared.contracts.outbound import ChannelRecord
from shared.runtime.clock import Clock
from shared.runtime.secrets import Unsealable

PAGE = 100
SYSTEM = "system"
"""Who did it, in the audit: nobody."""

_log = structlog.stdlib.get_logger(__name__)


class Box(Protocol):
    """`shared.runtime.secrets.SecretBox`."""

    @property
    def current(self) -> str: ...

    def seal(self, plain: bytes, context: str) -> str: ...

    def open(self, sealed: str, context: str) -> bytes: ...


class Resealing:
    """`run` looks once; it is asked regularly while a previous key is configured."""

    def __init__(self, store: ChannelStore, news: ChannelNews, box: Box, clock: Clock) -> None:
        self._store, self._news, self._box, self._clock = store, news, box, clock

    async def run(self) -> None:
        """Seal anew what another key sealed. What cannot be opened is logged and left as it is."""
        after = ""
        while found := await self._store.sealed_otherwise(self._box.current, after, PAGE):
            for channel in found:
                await self._reseal(channel)
            after = found[-1].id

    async def _reseal(self, channel: ChannelRecord) -> None:
        try:
            sealed = [self._box.seal(self._box.open(old.sealed, channel.id), channel.id) for old in channel.secrets]
        except Unsealable as error:
            _log.error("a channel's secret cannot be opened: rotate it", channel_id=channel.id, reason=str(error))
            return
        after = resealed(channel, sealed)
        entry = AuditEntry(
            workspace=channel.workspace,
            at=self._clock.now(),
            member_id=SYSTEM,
            role=SYSTEM,
            action="channel.resealed",
            subject=channel.id,
            fields=("secrets",),
        )
        if await self._store.replace(Change(after, entry, announcement(after))):  # else: changed meanwhile, next time
            await self._news.tell(channel.id)
