"""The order of effects: decode, load, plan, write, publish (DESIGN 3, routing 2). No rule of any kind lives here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from services.routing import core, intake, memory, outgoing, protocol
from services.routing.cache import Cache
from services.routing.documents import Arrival, Document, source_name
from services.routing.memory import Remembered
from services.routing.meter import Meter
from services.routing.protocol import RULES, Ground, Plan, Refusal, Rules
from services.routing.store import Conflict, States
from shared.contracts.commands import CommandRecord
from shared.contracts.ids import document_key
from shared.contracts.times import to_timestamp
from shared.contracts.topics import CONVERSATION_COMMANDS
from shared.runtime.batches import Batch
from shared.runtime.clock import Clock
from shared.runtime.deadletter import Forwarder, letter
from shared.runtime.engine_errors import is_away
from shared.runtime.faults import Fault, Poison
from shared.runtime.producer import Publisher
from shared.runtime.records import Partition, Record

log = structlog.get_logger(__name__)


class Lives(Protocol):
    """`shared.runtime.incarnations`, as far as we ask."""

    def of(self, topic: str) -> str: ...


class Producer(Publisher, Forwarder, Protocol):
    """`shared.runtime.producer`, as far as we ask."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside of this process."""

    states: States
    producer: Producer
    incarnations: Lives
    clock: Clock
    meter: Meter


class Routing:
    """Handler of the group that reads both inputs. README.md says what happens when it dies at any of its awaits."""

    def __init__(self, ports: Ports, cached: int, rules: Rules = RULES) -> None:
        self._ports = ports
        self._rules = rules
        self._cache = Cache(cached)
        self._sources: dict[Partition, str] = {}
        self._committed: Mapping[Partition, int] = {}

    async def assigned(self, partitions: frozenset[Partition], committed: Mapping[Partition, int]) -> None:
        of = self._ports.incarnations.of
        self._cache.clear()
        self._sources = {(topic, number): source_name(topic, of(topic), number) for topic, number in partitions}
        self._committed = committed

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        self._cache.clear()

    async def handle(self, batch: Batch) -> None:
        self._committed = batch.committed
        arrivals: list[Arrival] = []
        try:
            for record in batch.records:
                arrivals.append(intake.arrival(record, self._source(record)))
        except Poison:
            await self._carry_through(arrivals, self._rules)  # all before it is applied when it is put aside
            raise
        await self._carry_through(arrivals, self._rules)

    async def dead_lettered(self, record: Record, reason: str) -> None:
        """A command that went to the dead letters gets its outcome all the same (I8). May be repeated."""
        if record.topic != CONVERSATION_COMMANDS:
            return
        command = intake.command_of(record)
        if command is None:
            log.error("a command that cannot be answered", partition=record.partition, offset=record.offset)
            return
        await self._reject(record, command)

    async def _reject(self, record: Record, command: CommandRecord) -> None:
        key = document_key(command.workspace, command.conversation_id)
        arrival = Arrival(record, self._source(record), key, command)
        if record.key != key.encode():
            await self._reject_aside(command)
            return
        try:
            await self._carry_through([arrival], replace(self._rules, decide=core.internal_error))
        except Exception as error:
            if isinstance(error, Fault) or is_away(error):
                raise
            log.exception("a conversation's document is of no use", offset=record.offset)
            await self._reject_aside(command)

    async def _reject_aside(self, command: CommandRecord) -> None:
        """Without the document: a redelivery may answer once more."""
        decision = core.internal_error(None, command, to_timestamp(self._ports.clock.now()))
        await self._ports.producer.publish([outgoing.of_event(event) for event in decision.events])

    def _source(self, record: Record) -> str:
        return self._sources[record.topic, record.partition]

    async def _carry_through(self, arrivals: Sequence[Arrival], rules: Rules) -> None:
        # In this order: what another owner wrote before we knew an id, we see in the document. The other way round a
        # message could be known whose conversation seems not to exist: nothing to write, so no conflict to stop us.
        remembered = await self._remembered(arrivals)
        documents = await self._documents(arrivals)
        while arrivals:
            plan = protocol.plan(arrivals, self._ground(documents, remembered), rules)
            await self._carry_out(plan)
            documents |= {document.key: document for document in plan.settled}
            for key in plan.erased:
                remembered = memory.without_outcomes(remembered, key)
            remembered |= {one.key: one for one in plan.remembered}
            arrivals = arrivals[plan.taken :]

    async def _documents(self, arrivals: Iterable[Arrival]) -> dict[str, Document]:
        keys = dict.fromkeys(arrival.key for arrival in arrivals)
        found = self._cache.find(keys)
        missing = [key for key in keys if key not in found]
        if missing:
            found |= await self._ports.states.documents(missing)
        return {key: found.get(key) or Document(key) for key in keys}

    async def _remembered(self, arrivals: Iterable[Arrival]) -> dict[str, Remembered]:
        names = {name for arrival in arrivals for name in memory.names(arrival.key, arrival.item)}
        return await self._ports.states.remembered(list(names)) if names else {}

    def _ground(self, documents: Mapping[str, Document], remembered: Mapping[str, Remembered]) -> Ground:
        now = self._ports.clock.now()
        committed = {self._sources[at]: offset for at, offset in self._committed.items() if at in self._sources}
        return Ground(documents, remembered, committed, to_timestamp(now), int(now.timestamp() * 1000))

    async def _carry_out(self, plan: Plan) -> None:
        if plan.refused:
            await self._put_aside(plan.refused)
        if plan.writes:
            await self._save(plan)
        self._ports.meter.decided(plan)
        for wave in plan.waves:
            await self._ports.producer.publish(wave)
        self._cache.put(document for document in plan.settled if document.version)

    async def _put_aside(self, refused: Sequence[Refusal]) -> None:
        """Not by raising Poison: a channel that sends nothing else must cost the others little, and stop nothing."""
        now = self._ports.clock.now()
        await self._ports.producer.forward([letter(one.record, one.why.reason, one.why, 1, now) for one in refused])
        self._ports.meter.refused(refused)
        log.warning("records refused", count=len(refused), reasons=sorted({one.why.reason for one in refused}))

    async def _save(self, plan: Plan) -> None:
        try:
            await self._ports.states.save(plan.writes, plan.remembered, plan.erased)
        except Conflict:
            self._cache.clear()
            self._ports.meter.conflict()
            raise
        except BaseException:
            self._cache.drop(plan.writes)  # whether it is written is not known
            raise
        self._cache.put(plan.writes)
