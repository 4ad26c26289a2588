"""The channel registry: what members do to channels. Every change raises the version and is told on `channels`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

import structlog

from services.ingest import channel_rules
from services.ingest.channel_rules import ChannelFault, SecretsExhausted, UrlCheck
from services.ingest.lookup import ChannelLookup
from services.ingest.requests import ChannelChange, NewChannel
from services.ingest.store import CHANNELS, AuditEntry, Change, ChannelStore
from shared.contracts import topics, wire
from shared.contracts.errors import ERRORS
from shared.contracts.outbound import ChannelRecord, SealedSecret
from shared.runtime.auth import Principal
from shared.runtime.clock import Clock
from shared.runtime.engine_errors import is_away
from shared.runtime.problems import Problem, not_found, too_many_requests
from shared.runtime.records import Outgoing

CHANGE_TRIES = 5
Action = Literal["channel.created", "channel.changed", "channel.secret_rotated", "channel.deleted"]

_log = structlog.stdlib.get_logger(__name__)


class Deliveries(Protocol):
    async def any_open(self, channel_id: str, token: str) -> bool:
        """Whether messages are still on their way through the channel. Problem 503 where dispatch does not answer."""


class Flusher(Protocol):
    async def flush(self, collection: str, ident: str) -> None: ...


class Keys(Protocol):
    """Where ids and secrets come from."""

    def new_id(self) -> str: ...

    def new_secret(self) -> str:
        """`whsec_…`"""

    def seal(self, secret: str, channel_id: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """A channel with a secret that is shown this once."""

    channel: ChannelRecord
    secret: str


class ChannelNews:
    """Tells of a change: this replica's look-ups at once, everybody else through the outbox."""

    def __init__(self, lookup: ChannelLookup, outbox: Flusher) -> None:
        self._lookup = lookup
        self._outbox = outbox

    async def tell(self, channel_id: str) -> None:
        """The change stands already: with Kafka away it is told by the sweep, and that is no reason to fail."""
        self._lookup.forget(channel_id)
        try:
            await self._outbox.flush(CHANNELS, channel_id)
        except Exception as error:
            if not is_away(error):
                raise
            _log.warning("a channel's change will be told later", channel_id=channel_id, reason=type(error).__name__)


class Registry:
    def __init__(self, store: ChannelStore, news: ChannelNews, keys: Keys, check_url: UrlCheck, clock: Clock) -> None:
        self._store = store
        self._news = news
        self._keys = keys
        self._check_url = check_url
        self._clock = clock

    async def page(self, principal: Principal, after: str, limit: int) -> list[ChannelRecord]:
        return await self._store.page(principal.workspace, after, limit)

    async def read(self, principal: Principal, ident: str) -> ChannelRecord:
        channel = await self._store.find_in(principal.workspace, ident)
        if channel is None:
            raise not_found("There is no such channel.")
        return channel

    async def create(self, principal: Principal, request: NewChannel) -> Shown:
        ident, secret = self._keys.new_id(), self._keys.new_secret()
        sealed = SealedSecret(sealed=self._keys.seal(secret, ident))
        try:
            new = channel_rules.created(request, ident, principal.workspace, sealed, self._check_url)
        except ChannelFault as fault:
            raise _problem(fault) from None
        await self._store.insert(self._change(principal, "channel.created", None, new))
        await self._news.tell(ident)
        return Shown(new, secret)

    async def change(self, principal: Principal, ident: str, request: ChannelChange) -> ChannelRecord:
        def changed(channel: ChannelRecord) -> ChannelRecord:
            try:
                return channel_rules.changed(channel, request, self._check_url)
            except ChannelFault as fault:
                raise _problem(fault) from None

        return await self._next(principal, ident, "channel.changed", changed)

    async def rotate(self, principal: Principal, ident: str) -> Shown:
        secret = self._keys.new_secret()
        sealed = SealedSecret(sealed=self._keys.seal(secret, ident))

        def rotated(channel: ChannelRecord) -> ChannelRecord:
            now = self._clock.now()
            try:
                return channel_rules.rotated(channel, sealed, now)
            except SecretsExhausted as exhausted:
                raise _too_soon(exhausted, now) from None

        return Shown(await self._next(principal, ident, "channel.secret_rotated", rotated), secret)

    async def delete(self, principal: Principal, ident: str, deliveries: Deliveries) -> None:
        await self.read(principal, ident)
        if await deliveries.any_open(ident, principal.token):
            raise Problem(409, "DELIVERIES_OPEN", "Messages are still on their way through this channel.")
        await self._next(principal, ident, "channel.deleted", channel_rules.removed)

    async def _next(
        self, principal: Principal, ident: str, action: Action, rule: Callable[[ChannelRecord], ChannelRecord]
    ) -> ChannelRecord:
        """Apply `rule` to the current version, again where somebody was faster."""
        for _ in range(CHANGE_TRIES):
            before = await self.read(principal, ident)
            after = rule(before)
            if after is before or await self._store.replace(self._change(principal, action, before, after)):
                await self._news.tell(ident)
                return after
        raise Problem(409, "CONFLICT", "The channel is being changed by others; try again.")

    def _change(
        self, principal: Principal, action: Action, before: ChannelRecord | None, after: ChannelRecord
    ) -> Change:
        entry = AuditEntry(
            workspace=principal.workspace,
            at=self._clock.now(),
            member_id=principal.member_id,
            role=principal.role,
            action=action,
            subject=after.id,
            fields=changed_fields(before, after),
        )
        return Change(after, entry, announcement(after))


def announcement(channel: ChannelRecord) -> Sequence[Outgoing]:
    """The channel as of now; of a deleted one that it is, and then nothing more: a tombstone."""
    headers = (("type", b"ChannelRecord"),)
    record = Outgoing(topics.CHANNELS, channel.id, wire.encode(channel), headers)
    return (record, Outgoing(topics.CHANNELS, channel.id, None, headers)) if channel.deleted else (record,)


def changed_fields(before: ChannelRecord | None, after: ChannelRecord) -> tuple[str, ...]:
    """Names, dotted for settings; what a new channel has counts as changed."""
    old, new = (_flat(before) if before else {}), _flat(after)
    return tuple(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))


def _flat(channel: ChannelRecord) -> dict[str, object]:
    fields: dict[str, object] = {"name": channel.name, "kind": channel.kind, "secrets": channel.secrets}
    fields |= {f"settings.{name}": value for name, value in channel.settings.items()}
    if channel.bot is not None:
        fields["bot.kind"] = channel.bot.kind
        fields |= {f"bot.settings.{name}": value for name, value in channel.bot.settings.items()}
    return fields


def _problem(fault: ChannelFault) -> Problem:
    errors = [{"field": fault.field, "code": fault.code, "detail": fault.detail}]
    status = ERRORS[fault.code].status or 422
    return Problem(status, fault.code, f"{fault.field}: {fault.detail}", errors=errors)


def _too_soon(exhausted: SecretsExhausted, now: datetime) -> Problem:
    wait = max(1, int((exhausted.until - now.astimezone(UTC)).total_seconds()))
    detail = f"The last {channel_rules.MAX_SECRETS} secrets are still valid; rotate again when the oldest has ended."
    return too_many_requests(detail, wait)
