"""A compacted topic as a dict in memory: the latest value of each key."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from shared.runtime.records import Record
from shared.runtime.tail import Tail

if TYPE_CHECKING:
    from shared.runtime.messaging import Messaging

OnChange = Callable[[str, bytes | None], None]
"""(key, value or None when removed), for each record read, those of the start included. Synchronous; must not raise."""


class Table(Mapping[str, bytes]):
    """A component; `start` returns when all that was there has been read. Keys are text; tombstones remove."""

    def __init__(self, messaging: "Messaging", topic: str, on_change: OnChange | None = None) -> None:
        self._rows: dict[str, bytes] = {}
        self._on_change = on_change
        self._tail = Tail(messaging, topic, self._apply, "earliest")

    async def start(self) -> None:
        """Raises Transient while Kafka is away (call again), Fatal when there is no such topic."""
        self._rows.clear()
        await self._tail.start()
        await self._tail.wait_caught_up()

    async def stop(self) -> None:
        await self._tail.stop()

    def __getitem__(self, key: str) -> bytes:
        return self._rows[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def positions(self) -> Mapping[int, int]:
        return self._tail.positions

    def progress(self) -> str | None:
        return self._tail.progress()

    async def ready(self) -> str | None:
        return await self._tail.ready()

    def _apply(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.key is not None:
                self._put(record.key.decode(errors="surrogateescape"), record.value)

    def _put(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = value
        if self._on_change is not None:
            self._on_change(key, value)
