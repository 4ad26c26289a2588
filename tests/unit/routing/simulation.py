"""Two owners of one partition pair, real handlers on in-memory twins, driven await by await.

Every effect of a handler pauses before and after it; whoever drives may go on, throw a Transient there, crash the
owner, give the partitions to the other one (the first goes on as a zombie that doesn't know) or rewind the group.
"""

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from services.routing.documents import Document, source_name
from services.routing.handlers import Ports, Routing
from services.routing.memory import Remembered
from services.routing.meter import Meter
from services.routing.protocol import Rules
from shared.contracts import wire
from shared.contracts.commands import Command, CommandRecord
from shared.contracts.ids import document_key
from shared.contracts.inbound import Inbound
from shared.contracts.topics import CHANNEL_INBOUND, CONVERSATION_COMMANDS, ROUTING_INPUTS, WORKSPACE_EVENTS
from shared.runtime.batches import Batch
from shared.runtime.faults import Fenced, Poison, Transient
from shared.runtime.metrics import Metrics
from shared.runtime.records import Letter, Outgoing, Partition, Record
from tests.unit.routing.twins import MemoryStates, SameLife, StoppedClock

Item = Inbound | Command
Place = tuple[str, int]
METER = Meter(Metrics())
PARTITIONS: tuple[Partition, ...] = tuple((topic, 0) for topic in ROUTING_INPUTS)


@types.coroutine
def pause() -> Generator[None, None, None]:
    yield


@dataclass(frozen=True, slots=True)
class Action:
    """Of the owner, or of the `other` process. `n`: pauses to go on for, or offsets to rewind. `take`: how many of each
    topic, should a batch begin; `turned`: commands come first in it."""

    kind: Literal["go", "fail", "crash", "rebalance", "rewind"]
    other: bool
    n: int
    take: tuple[int, int]
    turned: bool


ALL = Action("go", False, 50, (5, 5), False)


@dataclass(frozen=True, slots=True)
class Scenario:
    items: tuple[Item, ...]
    actions: tuple[Action, ...]
    cached: int
    pending_limit: int


@dataclass(frozen=True, slots=True)
class Published:
    """`stale`: by the owner, though everything that caused it was committed; nobody asked for it again."""

    record: Outgoing
    stale: bool


@dataclass
class World:
    """What outlives processes."""

    inputs: dict[str, list[Record]]
    states: MemoryStates
    committed: dict[Partition, int] = field(default_factory=lambda: dict.fromkeys(PARTITIONS, 0))
    published: list[Published] = field(default_factory=list)
    applied: list[tuple[Place, Item, bool]] = field(default_factory=list)
    letters: set[Place] = field(default_factory=set)
    last_offset: dict[str, Place] = field(default_factory=dict)
    generation: int = 0
    events_first: bool = True

    def note_applied(self, records: Sequence[Record], writes: Sequence[Document], dead: bool) -> None:
        """In the order of the fold: which offsets a write applies for the first time."""
        for record in records:
            item = decoded(record)
            source, key = source_name(record.topic, "life-1", 0), document_key(item.workspace, item.conversation_id)
            after = next((one.applied for one in writes if one.key == key), {})
            before = self.states.stored[key].applied if key in self.states.stored else {}
            if before.get(source, -1) < record.offset <= after.get(source, -1):
                self.applied.append(((record.topic, record.offset), item, dead))

    def publish(self, record: Outgoing, by_owner: bool) -> None:
        cause = dict(record.headers).get("causationid", b"").decode()
        stale = False
        if by_owner and cause:
            topic, offset = self.last_offset[cause]
            stale = offset < self.committed[topic, 0]
        self.published.append(Published(record, stale))


class Owner:
    """A process. `generation`: the one in which it got its partitions; None where it has none and knows."""

    def __init__(self, world: World, cached: int, rules: Rules) -> None:
        self.world, self.cached, self.rules = world, cached, rules
        self.generation: int | None = None
        self.at_work: Sequence[Record] = ()
        self.dead = False
        self.turn: Coroutine[Any, Any, None] | None = None
        self.start()

    def start(self) -> None:
        ports = Ports(self, self, SameLife(), StoppedClock(), METER)
        self.routing = Routing(ports, self.cached, self.rules)

    def join(self) -> None:
        self.generation = self.world.generation
        self.committed = dict(self.world.committed)
        self.positions = dict(self.world.committed)
        finish(self.routing.revoked(frozenset(PARTITIONS)))
        finish(self.routing.assigned(frozenset(PARTITIONS), self.committed))

    @property
    def owns(self) -> bool:
        return self.generation == self.world.generation

    # the ports

    async def documents(self, keys: Sequence[str]) -> dict[str, Document]:
        await pause()
        return await self.world.states.documents(keys)

    async def remembered(self, keys: Sequence[str]) -> dict[str, Remembered]:
        await pause()
        return await self.world.states.remembered(keys)

    async def save(
        self, writes: Sequence[Document], remembered: Sequence[Remembered], erased: Sequence[str] = ()
    ) -> None:
        await pause()
        self.world.states.check(writes, remembered)
        self.world.note_applied(self.at_work, writes, self.dead)
        await self.world.states.save(writes, remembered, erased)
        await pause()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """A prefix may be all that arrives; order holds within a topic only, and events are the fastest, or last."""
        for record in sorted(records, key=lambda one: (one.topic != WORKSPACE_EVENTS) == self.world.events_first):
            await pause()
            self.world.publish(record, self.owns)
        await pause()

    async def forward(self, letters: Sequence[Letter]) -> None:
        await pause()
        for one in letters:
            headers = dict(one.headers)
            self.world.letters.add((headers["source-topic"].decode(), int(headers["source-offset"])))
        await pause()

    # the group

    def batch(self, take: tuple[int, int], turned: bool) -> Batch:
        parts = []
        for at, count in zip(PARTITIONS, take, strict=True):
            start = self.positions[at]
            parts.append(self.world.inputs[at[0]][start : start + count])
        return Batch([record for part in (reversed(parts) if turned else parts) for record in part], self.committed)

    async def handle(self, batch: Batch) -> None:
        """As the group loop does it: handle, put poison aside, commit."""
        offsets = batch.next_offsets()
        while batch.records:
            try:
                self.at_work, self.dead = batch.records, False
                await self.routing.handle(batch)
                break
            except Transient:
                await pause()
            except Poison as poison:
                batch = await self.without(batch, poison)
        self.positions |= offsets
        await pause()
        self.commit(offsets)

    async def without(self, batch: Batch, poison: Poison) -> Batch:
        record = poison.record
        assert record is not None
        self.world.letters.add((record.topic, record.offset))
        self.at_work, self.dead = (record,), True
        await insist(lambda: self.routing.dead_lettered(record, poison.reason))
        return batch.without(record)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        if not self.owns:
            raise Fenced("the group has another generation")
        self.world.committed |= offsets
        self.committed |= offsets

    # the driver

    def go(self, action: Action) -> None:
        if self.turn is None:
            batch = self.batch(action.take, action.turned) if self.generation is not None else None
            if batch is None or not batch.records:
                return
            self.turn = self.handle(batch)
        for _ in range(action.n):
            if self.turn is not None:
                self._step(None)

    def fail(self) -> None:
        if self.turn is not None:
            self._step(Transient("away"))

    def crash(self) -> None:
        if self.turn is not None:
            self.turn.close()
        self.turn = None
        self.start()
        self.generation = None

    def _step(self, fault: Exception | None) -> None:
        assert self.turn is not None
        try:
            if fault is None:
                self.turn.send(None)
            else:
                self.turn.throw(fault)
        except StopIteration:
            self.turn = None
        except Transient:
            self.turn = None  # of the commit: what was handled stays uncommitted for now
        except Fenced:
            self.turn = None
            if self.owns:
                self.join()
            else:
                self.generation = None


async def insist(action: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await action()
            return
        except Transient:
            await pause()


def finish(work: Awaitable[None]) -> None:
    """Run what never pauses."""
    steps = work.__await__()
    assert next(steps, None) is None


def decoded(record: Record) -> Item:
    assert record.value is not None
    return (wire.decode_inbound if record.topic == CHANNEL_INBOUND else wire.decode_command)(record.value)


def world_of(items: Sequence[Item]) -> World:
    inputs: dict[str, list[Record]] = {topic: [] for topic in ROUTING_INPUTS}
    world = World(inputs, MemoryStates())
    for item in items:
        topic = CONVERSATION_COMMANDS if isinstance(item, CommandRecord) else CHANNEL_INBOUND
        key, offset = document_key(item.workspace, item.conversation_id), len(inputs[topic])
        inputs[topic].append(Record(topic, 0, offset, key.encode(), wire.encode(item), {}, 0))
        world.last_offset[item.id] = (topic, offset)
    return world


def run(scenario: Scenario, rules: Rules, world: World | None = None) -> World:
    """All actions, then undisturbed to the end; a zombie's last batch ends after everything else."""
    world = world or world_of(scenario.items)
    to_the_end(world, begin(world, scenario, rules))
    return world


def begin(world: World, scenario: Scenario, rules: Rules) -> list[Owner]:
    """All actions, and whoever is in the middle of something then."""
    owners = [Owner(world, scenario.cached, rules) for _ in range(2)]
    owners[0].join()
    for action in scenario.actions:
        _act(world, owners, action)
    return owners


def _act(world: World, owners: list[Owner], action: Action) -> None:
    holder, other = sorted(owners, key=lambda one: not one.owns)
    one = other if action.other else holder
    match action.kind:
        case "go":
            one.go(action)
        case "fail":
            one.fail()
        case "crash":
            one.crash()
            if one is holder:
                _give(world, one)
        case "rebalance":
            if other.turn is None:
                _give(world, other)
        case "rewind":
            holder.crash()
            world.committed = {at: max(0, offset - action.n) for at, offset in world.committed.items()}
            _give(world, holder)


def _give(world: World, owner: Owner) -> None:
    world.generation += 1
    owner.join()


def to_the_end(world: World, owners: list[Owner]) -> None:
    holder = next(one for one in owners if one.owns)
    ends = {at: len(world.inputs[at[0]]) for at in PARTITIONS}
    for _ in range(1_000):
        if world.committed == ends and holder.turn is None:
            break
        holder.go(ALL)
        if holder.turn is None and not holder.batch(ALL.take, False).records:
            holder.join()
    assert world.committed == ends, "the inputs are never worked off"
    for owner in owners:
        while owner.turn is not None:
            owner.go(ALL)
