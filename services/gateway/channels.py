"""What the gateway needs to know of channels: which have a bot, what they carry. A copy of the compacted topic, in
memory."""

import structlog

from shared.contracts.capabilities import Capabilities, capabilities_of
from shared.contracts.outbound import ChannelRecord
from shared.contracts.wire import Undecodable, decode_channel

log = structlog.stdlib.get_logger(__name__)


class Channels:
    """Fed by the table's `on_change`; the highest version counts. A channel that isn't known (yet) has no bot."""

    def __init__(self) -> None:
        self._channels: dict[str, ChannelRecord] = {}

    def changed(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._channels.pop(key, None)
            return
        try:
            channel = decode_channel(value)
        except Undecodable as error:
            log.error("a channel's record cannot be read: the older one stays", channel_id=key, error=str(error))
            return
        known = self._channels.get(key)
        if known is None or known.version <= channel.version:
            self._channels[key] = channel

    def bot_kind(self, workspace: str, channel_id: str | None) -> str | None:
        channel = self._channel(workspace, channel_id)
        return channel.bot.kind if channel and channel.bot else None

    def capabilities(self, workspace: str, channel_id: str | None) -> Capabilities:
        """Of a channel that isn't known nothing is refused here."""
        channel = self._channel(workspace, channel_id)
        return capabilities_of(channel.kind, channel.settings) if channel else Capabilities()

    def _channel(self, workspace: str, channel_id: str | None) -> ChannelRecord | None:
        channel = self._channels.get(channel_id) if channel_id else None
        if channel is None or channel.workspace != workspace or channel.deleted:
            return None
        return channel
