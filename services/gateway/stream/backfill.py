"""Old ranges of the log from Kafka, in blocks that every client that needs them shares.

A block is read once, however many ask for it; so many reads run at once as `parallel` says; what was read lately is
kept up to `cache_bytes`. Repeats are known as in the live reader: reading begins `overlap` offsets before a block that
nobody read the predecessor of.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from services.gateway.stream.entry import Entry
from services.gateway.stream.intake import Intake, Malformed
from services.gateway.stream.repeats import Divergence, Repeats
from services.gateway.stream.ring import ENTRY_OVERHEAD, Stretch, stretch
from shared.runtime.records import Record
from shared.runtime.tasks import ended

Read = Callable[[int, int, int], Awaitable[Sequence[Record]]]
"""(partition, first offset, end offset) -> the records that the log still holds there, in order."""

MAX_SCANS = 16
"""Where so many readings stopped is remembered, so that the next block needs no overlap; some 2 MB each at most."""


@dataclass(frozen=True, slots=True)
class Block:
    """Offsets `start` to `end - 1`, all of them read; `start` is later than asked for where the log begins later."""

    start: int
    end: int
    entries: Mapping[str, Sequence[Entry]]
    size: int

    def after(self, workspace: str, offset: int, max_bytes: int) -> Stretch:
        return stretch(self.entries.get(workspace, ()), offset, self.end - 1, max_bytes)


Done = Callable[[Block | Exception], None]


@dataclass(frozen=True, slots=True)
class BackfillSettings:
    """`block` and `overlap` in offsets."""

    block: int = 1_000
    overlap: int = 4_000
    parallel: int = 4
    cache_bytes: int = 32 * 1024 * 1024


class Backfill:
    def __init__(self, read: Read, intake: Intake, settings: BackfillSettings) -> None:
        self._read, self._intake, self._settings = read, intake, settings
        self._slots = asyncio.Semaphore(settings.parallel)
        self._held: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._waiting: dict[tuple[int, int, int], list[Done]] = {}
        self._scans: OrderedDict[tuple[int, int], Repeats] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def held(self, partition: int, offset: int) -> Block | None:
        """The block with this offset, if it is in memory."""
        key = (partition, self._first(offset))
        block = self._held.get(key)
        if block is None or not block.start <= offset < block.end:  # read when the log was shorter
            return None
        self._held.move_to_end(key)
        return block

    def fetch(self, partition: int, offset: int, end: int, done: Done) -> None:
        """Have the block with this offset read; `end` = the log's end as far as known. Calls `done` later."""
        first = self._first(offset)
        wanted = (partition, first, min(first + self._settings.block, end))
        waiting = self._waiting.setdefault(wanted, [])
        waiting.append(done)
        if len(waiting) == 1:
            task = asyncio.create_task(self._answer(*wanted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        await ended(self._tasks)

    def _first(self, offset: int) -> int:
        return offset - offset % self._settings.block

    async def _answer(self, partition: int, first: int, end: int) -> None:
        answer: Block | Exception
        try:
            async with self._slots:
                answer = await self._block(partition, first, end)
        except Exception as error:  # noqa: BLE001 -- whatever went wrong is the answer to those who wait
            answer = error
        for done in self._waiting.pop((partition, first, end)):
            done(answer)

    async def _block(self, partition: int, first: int, end: int) -> Block:
        repeats = self._scans.pop((partition, first), None) or await self._scanned_before(partition, first)
        records = await self._read(partition, first, end)
        entries = self._admitted(records, repeats)
        self._remember_scan((partition, end), repeats)
        block = _block(records, end, entries)
        self._hold((partition, first), block)
        return block

    async def _scanned_before(self, partition: int, first: int) -> Repeats:
        repeats, step = Repeats(self._settings.overlap), self._settings.block
        for start in range(max(0, first - self._settings.overlap), first, step):
            self._admitted(await self._read(partition, start, min(start + step, first)), repeats)
        return repeats

    def _admitted(self, records: Sequence[Record], repeats: Repeats) -> list[Entry]:
        admitted = []
        for record in records:
            try:
                entry = self._intake.take(record, repeats).entry
            except Malformed:  # counted when it was live
                continue
            if entry is not None:
                admitted.append(entry)
        return admitted

    def _remember_scan(self, key: tuple[int, int], repeats: Repeats) -> None:
        self._scans[key] = repeats
        if len(self._scans) > MAX_SCANS:
            self._scans.popitem(last=False)

    def _hold(self, key: tuple[int, int], block: Block) -> None:
        self._held[key] = block
        self._held.move_to_end(key)
        while len(self._held) > 1 and sum(held.size for held in self._held.values()) > self._settings.cache_bytes:
            self._held.popitem(last=False)


def _block(records: Sequence[Record], end: int, entries: Sequence[Entry]) -> Block:
    start, end = (records[0].offset, records[-1].offset + 1) if records else (end, end)
    if end - start != len(records):
        raise Divergence(f"offsets are missing between {start} and {end}")
    by_workspace: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_workspace[entry.workspace].append(entry)
    return Block(start, end, by_workspace, sum(len(entry.frame) + ENTRY_OVERHEAD for entry in entries))
