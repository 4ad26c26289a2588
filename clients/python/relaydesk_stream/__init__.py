"""Relaydesk's live stream: every event of a workspace, each once and in the order of its conversation."""

from relaydesk_stream.client import Handlers, Stream, stream
from relaydesk_stream.events import Event, SnapshotRequired, StateChange
from relaydesk_stream.failures import Faulty, Forbidden, GapUnfilled, Refused, StreamEnded
from relaydesk_stream.rules import Timing
from relaydesk_stream.tickets import Ticket, Tickets

__all__ = [
    "Event",
    "Faulty",
    "Forbidden",
    "GapUnfilled",
    "Handlers",
    "Refused",
    "SnapshotRequired",
    "StateChange",
    "Stream",
    "StreamEnded",
    "Ticket",
    "Tickets",
    "Timing",
    "stream",
]
