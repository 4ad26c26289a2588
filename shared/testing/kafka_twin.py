"""Kafka in memory, for tests without engines: `shared.runtime.messaging` as far as handlers can tell.

The retry and dead-letter policy is the real one; the broker, its partitions and the group's one member are made up.
One conformance suite runs against this and against the real broker: tests/integration/runtime/test_conformance.py.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from shared.contracts.topics import MAX_RECORD_BYTES, TOPICS
from shared.runtime.backoff import Backoff
from shared.runtime.batch_runner import BatchRunner
from shared.runtime.batches import Batch, Handler
from shared.runtime.deadletter import DeadLetters, Forwarder
from shared.runtime.faults import Fatal, Fenced, Transient
from shared.runtime.group_loop import GroupOptions
from shared.runtime.group_meter import GroupMeter
from shared.runtime.holdings import Holdings, starting_points
from shared.runtime.metrics import Metrics
from shared.runtime.producer import LETTER_ROOM_BYTES, UNKNOWN, check_size, partition_for
from shared.runtime.records import Letter, Outgoing, Partition, Record
from shared.runtime.table import OnChange
from shared.runtime.tail import LookBack, OnRecords, Start


class TwinBroker:
    """Partitions as lists and the groups' offsets. `away` makes it behave like a broker that does not answer."""

    def __init__(self, partitions: Mapping[str, int] | None = None) -> None:
        self._counts = partitions or {name: topic.partitions for name, topic in TOPICS.items()}
        self.log: dict[Partition, list[Record]] = {}
        self.committed: dict[str, dict[Partition, int]] = {}
        self.away = False
        self._arrivals = asyncio.Condition()

    def partitions_of(self, topic: str) -> list[Partition]:
        if topic not in self._counts:
            raise Fatal(f"topic {topic} is missing: run `relaydesk topics apply`")
        return [(topic, number) for number in range(self._counts[topic])]

    def records(self, topic: str) -> list[Record]:
        """Everything in a topic, partition after partition."""
        return [record for at in self.partitions_of(topic) for record in self.log.get(at, [])]

    def end(self, at: Partition) -> int:
        return len(self.log.get(at, []))

    async def append(self, letter: Letter) -> None:
        number = partition_for((letter.key or b"").decode(errors="surrogateescape"), self._counts[letter.topic])
        log = self.log.setdefault((letter.topic, number), [])
        now = int(time.time() * 1000)
        log.append(Record(letter.topic, number, len(log), letter.key, letter.value, dict(letter.headers), now))
        async with self._arrivals:
            self._arrivals.notify_all()

    def read(self, positions: Mapping[Partition, int], max_records: int) -> list[Record]:
        found: list[Record] = []
        for at, position in positions.items():
            found += self.log.get(at, [])[position : position + max_records - len(found)]
        return [] if self.away else found

    async def arrival(self, seconds: float = 0.05) -> None:
        """Until something new arrives, or a moment has passed."""
        try:
            async with asyncio.timeout(seconds), self._arrivals:
                await self._arrivals.wait()
        except TimeoutError:
            return

    def require(self) -> None:
        if self.away:
            raise Transient(f"Kafka did not acknowledge: {UNKNOWN}")


class TwinMessaging:
    """Stands for `Messaging`."""

    def __init__(self, broker: TwinBroker, metrics: Metrics, on_fatal: Callable[[BaseException], None]) -> None:
        self.broker = broker
        self.metrics = metrics
        self.on_fatal = on_fatal

    def producer(self) -> "TwinProducer":
        return TwinProducer(self.broker)

    def group(
        self,
        group: str,
        topics: Sequence[str],
        handler: Handler,
        producer: Forwarder,
        options: GroupOptions | None = None,
    ) -> "TwinGroupConsumer":
        return TwinGroupConsumer(self, (group, tuple(topics)), handler, producer, options or GroupOptions())

    def tail(self, topic: str, on_records: OnRecords, start: Start = "earliest") -> "TwinTail":
        return TwinTail(self.broker, topic, on_records, start)

    def table(self, topic: str, on_change: OnChange | None = None) -> "TwinTable":
        return TwinTable(self.broker, topic, on_change)

    async def ping(self) -> None:
        self.broker.require()


class TwinProducer:
    """Stands for `Producer`."""

    def __init__(self, broker: TwinBroker) -> None:
        self._broker = broker

    async def start(self) -> None:
        self._broker.require()

    async def stop(self) -> None:
        """Nothing is open."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        letters = [Letter(r.topic, r.key.encode(), r.value, r.headers) for r in records]
        await self._append(letters, MAX_RECORD_BYTES)

    async def forward(self, letters: Sequence[Letter]) -> None:
        await self._append(letters, MAX_RECORD_BYTES + LETTER_ROOM_BYTES)

    async def _append(self, letters: Sequence[Letter], limit: int) -> None:
        for letter in letters:
            check_size(letter, limit)
        self._broker.require()
        for letter in letters:
            await self._broker.append(letter)


class TwinGroupConsumer:
    """Stands for `GroupConsumer`: the group's only member, which owns every partition."""

    def __init__(
        self,
        messaging: TwinMessaging,
        subscription: tuple[str, Sequence[str]],
        handler: Handler,
        producer: Forwarder,
        options: GroupOptions,
    ) -> None:
        group, topics = subscription
        self._messaging = messaging
        self._broker = messaging.broker
        self._stored = messaging.broker.committed.setdefault(group, {})
        self._partitions = [at for topic in topics for at in messaging.broker.partitions_of(topic)]
        self._handler = handler
        self._options = options
        self._holdings = Holdings()
        letters = DeadLetters(producer, messaging.metrics, options.on_dead_letter, options.dead_letters_in_a_row)
        self._runner = BatchRunner(handler, options.retry, letters, GroupMeter(messaging.metrics, group, topics))
        self._task: asyncio.Task[None] | None = None
        self.failure: Fatal | None = None

    async def start(self) -> None:
        self._broker.require()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._runner.interrupt.set()
        if self._task is not None:
            await self._task

    def owns(self, partition: Partition) -> bool:
        return partition in self._holdings.owned

    def position(self, partition: Partition) -> int:
        return self._holdings.position(partition)

    async def end_offset(self, partition: Partition) -> int:
        self._broker.require()
        return self._broker.end(partition)

    def progress(self) -> str | None:
        return None if self.failure is None else str(self.failure)

    async def ready(self) -> str | None:
        return self.progress() or self._runner.holding or (None if self._holdings.owned else "waiting for partitions")

    async def _run(self) -> None:
        backoff = Backoff(self._options.retry, self._runner.interrupt)
        stopped = False
        while not stopped and self.failure is None:
            try:
                await self._turns()
                stopped = True
            except (Fenced, Transient):
                stopped = await backoff.wait()
            except Fatal as fault:
                self.failure = fault
                self._messaging.on_fatal(fault)
            lost = self._holdings.release()
            if lost:
                await self._handler.revoked(lost)

    async def _turns(self) -> None:
        """From the committed offsets on, until stopped."""
        stored = {at: self._stored.get(at) for at in self._partitions}
        ends = {at: self._broker.end(at) for at in self._partitions}
        starts = starting_points(stored, dict.fromkeys(self._partitions, 0), ends)
        committed = {at: offset or 0 for at, offset in stored.items()}
        self._holdings.take(starts, committed)
        await self._handler.assigned(self._holdings.owned, committed)
        while not await self._runner.interrupt.sleep(0):
            records = self._broker.read(self._holdings.positions, self._options.max_records)
            if records:
                await self._turn(Batch(records, self._holdings.committed))
            else:
                await self._broker.arrival()

    async def _turn(self, batch: Batch) -> None:
        await self._runner.run(batch)
        offsets = batch.next_offsets()
        self._holdings.handled(offsets)
        self._stored.update(offsets)
        self._holdings.stored(offsets)


class TwinTail:
    """Stands for `Tail`."""

    def __init__(self, broker: TwinBroker, topic: str, on_records: OnRecords, start: Start) -> None:
        self._broker = broker
        self._topic = topic
        self._on_records = on_records
        self._start = start
        self._task: asyncio.Task[None] | None = None
        self.starts: dict[int, int] = {}
        self.positions: dict[int, int] = {}

    async def start(self) -> None:
        self._broker.require()
        self.starts = {
            at[1]: self._begin(self._broker.log.get(at, [])) for at in self._broker.partitions_of(self._topic)
        }
        self.positions = dict(self.starts)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def wait_caught_up(self) -> None:
        while not self.caught_up:
            await self._broker.arrival()

    @property
    def caught_up(self) -> bool:
        return all(self._broker.end((self._topic, number)) <= offset for number, offset in self.positions.items())

    def _begin(self, log: Sequence[Record]) -> int:
        if not isinstance(self._start, LookBack):
            return 0
        since = int((time.time() - self._start.seconds) * 1000)
        recent = sum(record.timestamp_ms < since for record in log)
        return max(0, recent, len(log) - self._start.records)

    async def _run(self) -> None:
        while True:
            records = self._broker.read({(self._topic, n): offset for n, offset in self.positions.items()}, 1_000)
            if not records:
                await self._broker.arrival()
                continue
            self._on_records(records)
            for number, read in groupby(records, lambda record: record.partition):
                self.positions[number] += len(list(read))


class TwinTable(dict[str, bytes]):
    """Stands for `Table`."""

    def __init__(self, broker: TwinBroker, topic: str, on_change: OnChange | None = None) -> None:
        super().__init__()
        self._on_change = on_change
        self._tail = TwinTail(broker, topic, self._apply, "earliest")

    async def start(self) -> None:
        await self._tail.start()
        await self._tail.wait_caught_up()

    async def stop(self) -> None:
        await self._tail.stop()

    def _apply(self, records: Sequence[Record]) -> None:
        for record in records:
            self._put((record.key or b"").decode(), record.value)

    def _put(self, key: str, value: bytes | None) -> None:
        if value is None:
            self.pop(key, None)
        else:
            self[key] = value
        if self._on_change is not None:
            self._on_change(key, value)
