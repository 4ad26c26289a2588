"""Dead letters: a record that cannot be processed goes to `<topic>.dlq` as it was, with the reason in its headers."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import structlog

from shared.contracts.times import to_timestamp
from shared.contracts.topics import dead_letter_name
from shared.runtime.faults import Fatal
from shared.runtime.metrics import Metrics
from shared.runtime.records import Letter, Record

log = structlog.get_logger(__name__)

BUG = "BUG"
"""The reason of a record whose handler raised something that is no Fault."""

ERROR_TEXT_LIMIT = 1_000

OnDeadLetter = Callable[[Record, str], Awaitable[None]]
"""(record, reason): awaited after the letter is acknowledged and before the record's offset passes; may be repeated."""


class Forwarder(Protocol):
    async def forward(self, letters: Sequence[Letter]) -> None:
        """Return when all are acknowledged; Transient when that is not known in time."""


async def nobody_asks(record: Record, reason: str) -> None:
    """The hook of a group that owes nobody an answer."""


class DeadLetters:
    """Moves records out of the way, and notices when nothing else happens any more."""

    def __init__(self, producer: Forwarder, metrics: Metrics, hook: OnDeadLetter, limit: int) -> None:
        self._producer = producer
        self._metrics = metrics
        self.hook = hook
        self._limit = limit
        self._in_a_row = 0

    def succeeded(self) -> None:
        """A record was processed: not everything fails."""
        self._in_a_row = 0

    async def put(self, record: Record, reason: str, error: Exception, attempts: int) -> None:
        """Write the letter; blocks up to the producer's deadline. Repeated, it is there twice, with one source offset.

        Raises Transient, or Fatal when `limit` letters in a row were written without one success in between.
        """
        if self._in_a_row >= self._limit:
            raise Fatal(
                f"{self._in_a_row} records in a row went to {dead_letter_name(record.topic)}, the last for {reason}"
            )
        await self._producer.forward([letter(record, reason, error, attempts, datetime.now(UTC))])
        self._in_a_row += 1
        self._metrics.counter("records_dead_lettered", topic=record.topic, reason=reason).inc()
        log.error(
            "record dead-lettered",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=reason,
            error=type(error).__name__,
            attempts=attempts,
        )


def letter(record: Record, reason: str, error: Exception, attempts: int, now: datetime) -> Letter:
    """The record's own bytes, key and headers, and why and whence it came."""
    why = {
        "reason": reason.encode(),
        "error": f"{type(error).__name__}: {error}"[:ERROR_TEXT_LIMIT].encode(errors="replace"),
        "attempts": str(attempts).encode(),
        "source-topic": record.topic.encode(),
        "source-partition": str(record.partition).encode(),
        "source-offset": str(record.offset).encode(),
        "time": to_timestamp(now).encode(),
    }
    return Letter(dead_letter_name(record.topic), record.key, record.value, tuple({**record.headers, **why}.items()))
