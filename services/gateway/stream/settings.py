"""What the stream can be told. Sizes in bytes, times in seconds."""

from dataclasses import dataclass, field
from datetime import timedelta

from services.gateway.stream.backfill import BackfillSettings
from services.gateway.stream.ticket import TICKET_S

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """`url`: what clients connect to, without a query; empty = the bound address. `key` signs tickets
    and cursors; those that one of `accepted_keys` signed are good as well.

    `origins`: pages that may connect; empty = any (development). `ring_bytes` and `ring_entries` are per partition.
    `slice_bytes`: one write of a replay, about what a wire takes before it asks for a pause. `replay_offsets`: so far
    back a cursor is served from Kafka. `join_s`: no event waits longer for others to share a write with. `stuck_s`: who
    takes nothing for so long, and is owed more than `buffer_bytes`, is too slow. `presence_s`: so long does a member
    count as there after the last sign; longer than the minute for which browsers hold back a page in the background.
    """

    key: bytes
    accepted_keys: tuple[bytes, ...] = ()
    url: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    origins: tuple[str, ...] = ()
    backlog: int = 4096
    max_sockets: int = 20_000
    heartbeat_s: float = 25.0
    tick_s: float = 0.25
    ticket_lifetime: timedelta = timedelta(seconds=TICKET_S)
    cursor_max_age: timedelta = timedelta(days=7)
    lookback_s: int = 600
    lookback_records: int = 50_000
    ring_bytes: int = 32 * MIB
    ring_entries: int = 50_000
    buffer_bytes: int = MIB
    slice_bytes: int = 64 * 1024
    replay_offsets: int = 50_000
    presence_s: float = 90.0
    join_s: float = 0.018
    ahead_s: float = 2.0
    stuck_s: float = 0.5
    backfill: BackfillSettings = field(default_factory=BackfillSettings)
    drain_s: float = 3.0
    linger_s: float = 5.0
    client_frame_bytes: int = 4096
    client_frames: int = 100
    client_frames_s: float = 10.0

    @property
    def at_once_bytes(self) -> int:
        """A batch up to this size is written to everybody as it is; a larger one at the pace of each reader."""
        return self.buffer_bytes // 4
