"""Channels as the hot path needs them: by id, secrets opened, kept for seconds.

A change on this replica counts at once (`forget`), on the others when what they keep has run out. Unknown ids are not
kept at all: a channel that has just been added is there with the next request.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from services.ingest.channels import KINDS
from services.ingest.channels.kind import Kind
from shared.contracts.outbound import ChannelRecord
from shared.contracts.times import from_timestamp
from shared.runtime.clock import Clock

MAX_KEPT = 10_000

Open = Callable[[str, str], bytes]
"""(sealed text, channel id) -> secret"""


class ChannelSource(Protocol):
    async def find(self, ident: str) -> ChannelRecord | None: ...


@dataclass(frozen=True, slots=True)
class OpenSecret:
    secret: str = field(repr=False)
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """A channel that events may come through."""

    record: ChannelRecord
    kind: Kind
    secrets: tuple[OpenSecret, ...]

    def valid_secrets(self, now: datetime) -> list[str]:
        return [one.secret for one in self.secrets if one.valid_until is None or now < one.valid_until]


class ChannelLookup:
    def __init__(self, source: ChannelSource, unseal: Open, clock: Clock, keep_s: float) -> None:
        self._source = source
        self._unseal = unseal
        self._clock = clock
        self._keep_s = keep_s
        self._kept: OrderedDict[str, tuple[float, OpenChannel]] = OrderedDict()
        self._changes = 0

    async def find(self, ident: str) -> OpenChannel | None:
        """May ask the store; raises what it raises."""
        asked_at = self._clock.monotonic()
        until, channel = self._kept.get(ident, (0.0, None))
        if channel is not None and asked_at < until:
            return channel
        changes = self._changes
        record = await self._source.find(ident)
        channel = None if record is None or record.kind not in KINDS else self._opened(record)
        if channel is not None and changes == self._changes:
            self._keep(ident, asked_at + self._keep_s, channel)
        return channel

    def forget(self, ident: str) -> None:
        """It has changed; also what is being asked for right now may be of yesterday."""
        self._changes += 1
        self._kept.pop(ident, None)

    def _opened(self, record: ChannelRecord) -> OpenChannel:
        secrets = tuple(
            OpenSecret(
                self._unseal(one.sealed, record.id).decode(),
                from_timestamp(one.valid_until) if one.valid_until else None,
            )
            for one in record.secrets
        )
        return OpenChannel(record, KINDS[record.kind], secrets)

    def _keep(self, ident: str, until: float, channel: OpenChannel) -> None:
        self._kept[ident] = (until, channel)
        self._kept.move_to_end(ident)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
