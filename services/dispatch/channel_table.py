"""The channels we deliver through, as the compacted topic has them; each row is decoded and opened once per change."""

from collections.abc import Callable

import structlog

from services.dispatch.core.channel import BotAddress, Channel
from shared.contracts.outbound import ChannelRecord
from shared.contracts.wire import Undecodable, decode_channel
from shared.runtime.secrets import SecretBox, Unsealable

log = structlog.stdlib.get_logger(__name__)

OnChannel = Callable[[str], None]
"""(channel id): deliveries through it may go now, or must not any more."""


class ChannelTable:
    """`read` is the Table's `on_change`. The highest version counts; a tombstone removes."""

    def __init__(self, box: SecretBox, on_channel: OnChannel) -> None:
        self._box = box
        self._on_channel = on_channel
        self._channels: dict[str, Channel] = {}

    def get(self, channel_id: str) -> Channel | None:
        return self._channels.get(channel_id)

    def read(self, key: str, value: bytes | None) -> None:
        known = self._channels.get(key)
        if value is None:
            self._channels.pop(key, None)
            self._on_channel(key)
            return
        channel = self._opened(key, value)
        if channel is None or (known is not None and known.version > channel.version):
            return
        self._channels[key] = channel
        if known is None or not channel.serves_like(known):
            self._on_channel(key)

    def _opened(self, key: str, value: bytes) -> Channel | None:
        try:
            record = decode_channel(value)
        except Undecodable as error:
            log.error("a channel's record cannot be read: the older one stays", channel_id=key, error=str(error))
            return None
        bot = BotAddress(record.bot.kind, record.bot.settings) if record.bot else None
        return Channel(
            record.id,
            record.workspace,
            record.kind,
            record.settings,
            bot,
            record.version,
            record.deleted,
            self._secret(record),
        )

    def _secret(self, record: ChannelRecord) -> str | None:
        """The current secret is the one without an end; rotated ones only verify."""
        current = [secret for secret in record.secrets if secret.valid_until is None]
        try:
            return self._box.open(current[0].sealed, record.id).decode() if current else None
        except (Unsealable, UnicodeDecodeError):
            log.error("a channel's secret does not open: was RELAYDESK_SECRETS_KEY changed?", channel_id=record.id)
            return None
