"""The live stream: every event of a workspace to every connected member, without gaps and repeats (DESIGN 8)."""

from services.gateway.stream.live import LiveStream
from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.ticket import Ticket

__all__ = ["LiveStream", "StreamSettings", "Ticket"]
