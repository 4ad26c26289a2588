"""Ends that another try would not mend. Everything else is tried again."""

from relaydesk_stream.events import SnapshotRequired


class StreamEnded(Exception):
    """Why a stream gives no more events."""


class Refused(StreamEnded):
    """The API gave no ticket: the token is bad or has ended (401), or the member may not (403)."""

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(f"{status} {detail}".rstrip())
        self.status = status


class Forbidden(StreamEnded):
    """Closed with 4003: the member was deactivated."""


class Faulty(StreamEnded):
    """Closed with 4009: the server could not read what this client sent. A fault of the client."""


class GapUnfilled(StreamEnded):
    """A snapshot is required and nobody takes it: no `on_snapshot_required` was given."""

    def __init__(self, gap: SnapshotRequired) -> None:
        super().__init__(f"snapshot required: {gap.reason}")
        self.gap = gap
