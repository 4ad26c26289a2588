"""A member of a group as a process of its own: notes each handled record in a file, ends in order on SIGTERM.

python -m tests.integration.runtime.member KAFKA PREFIX INSTANCE GROUP FILE SECONDS_PER_BATCH OFFSET

The batch that begins at OFFSET is not through before SIGTERM has come. Killed, its session outlasts any test.
"""

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from shared.runtime.batches import Batch
from shared.runtime.group_loop import GroupOptions
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.records import Partition
from shared.runtime.settings import KafkaSettings
from tests.integration.runtime.worlds import INBOUND

SESSION_S = 300.0


class Noting:
    """Writes `begin OFFSET` when a batch comes and `done OFFSET` for each record when it is through."""

    def __init__(self, file: Path, seconds: float, last: int, over: asyncio.Event) -> None:
        self._file = file
        self._seconds = seconds
        self._last, self._over = last, over

    async def handle(self, batch: Batch) -> None:
        self._note(f"begin {batch.records[0].offset}")
        if batch.records[0].offset == self._last:
            await self._over.wait()
        await asyncio.sleep(self._seconds)
        for record in batch.records:
            self._note(f"done {record.offset}")

    async def assigned(self, partitions: frozenset[Partition], committed: Mapping[Partition, int]) -> None:
        self._note(f"assigned {len(partitions)}")

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        self._note(f"revoked {len(partitions)}")

    def _note(self, line: str) -> None:
        with self._file.open("a") as file:
            file.write(line + "\n")


async def main(kafka: str, prefix: str, instance: str, group: str, file: str, seconds: str, last: str) -> int:
    over = asyncio.Event()
    messaging = Messaging(
        KafkaSettings(kafka=kafka, topic_prefix=prefix), "svc", instance, Metrics(), lambda _: over.set()
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    producer = messaging.producer()
    handler = Noting(Path(file), float(seconds), int(last), over)
    consumer = messaging.group(
        group, [INBOUND], handler, producer, GroupOptions(max_records=10, session_timeout_s=SESSION_S)
    )
    await producer.start()
    await consumer.start()
    await over.wait()
    await consumer.stop()
    await producer.stop()
    return 0 if consumer.failure is None else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
