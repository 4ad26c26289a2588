"""The record that tells routing how a delivery ended: stored with the end, so that it is told whatever happens next."""

from services.dispatch.core.channel import Channel
from services.dispatch.core.delivery import Delivery, report
from shared.contracts.topics import CHANNEL_INBOUND
from shared.contracts.wire import encode
from shared.runtime.records import Outgoing
from shared.runtime.traced_records import carrying


def told_of(after: Delivery, channel: Channel | None) -> Outgoing | None:
    """None while it is open."""
    if after.end is None:
        return None
    record = report(after, channel.bot.kind if channel and channel.bot else None)
    told = Outgoing(CHANNEL_INBOUND, after.lane, encode(record), (("type", record.type.encode()),))
    return carrying(told, after.trace)
