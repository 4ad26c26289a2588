"""The handler on in-memory twins: what is stored and published, in which order, whatever goes wrong at an effect."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from services.routing.documents import Document
from services.routing.handlers import Ports, Routing
from services.routing.memory import Remembered
from services.routing.meter import Meter
from services.routing.protocol import RULES, Rules
from services.routing.store import Conflict
from shared.contracts import wire
from shared.contracts.commands import CommandRecord
from shared.contracts.ids import document_key
from shared.contracts.topics import CHANNEL_INBOUND, CONVERSATION_COMMANDS, ROUTING_INPUTS
from shared.runtime.batches import Batch
from shared.runtime.faults import Poison, Transient
from shared.runtime.metrics import Metrics
from shared.runtime.records import Letter, Outgoing, Partition, Record
from tests.unit.routing.build import BOT, conversation_id, disable, erase, message, reply
from tests.unit.routing.simulation import Item
from tests.unit.routing.twins import MemoryStates, SameLife, StoppedClock

PARTITIONS: frozenset[Partition] = frozenset((topic, 0) for topic in ROUTING_INPUTS)


class States(MemoryStates):
    """`faults` are raised by the next writes; "after" means that the write has happened all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[tuple[str, Exception]] = []
        self.reads: list[Sequence[str]] = []
        self.unreadable: set[str] = set()

    async def documents(self, keys: Sequence[str]) -> dict[str, Document]:
        self.reads.append(keys)
        if self.unreadable.intersection(keys):
            raise ValueError("no state of ours")
        return await super().documents(keys)

    async def save(
        self, writes: Sequence[Document], remembered: Sequence[Remembered], erased: Sequence[str] = ()
    ) -> None:
        when, fault = self.faults.pop(0) if self.faults else ("", None)
        if fault is None or when == "after":
            await super().save(writes, remembered, erased)
        if fault is not None:
            raise fault


class Producer:
    def __init__(self) -> None:
        self.calls: list[list[Outgoing]] = []
        self.letters: list[Letter] = []
        self.faults: list[Exception] = []

    async def publish(self, records: Sequence[Outgoing]) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.calls.append(list(records))

    async def forward(self, letters: Sequence[Letter]) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.letters += letters

    def types(self) -> list[str]:
        return [dict(one.headers).get("type", b"").decode() for call in self.calls for one in call]

    def events(self) -> list[str]:
        return [name.removeprefix("relaydesk.").removesuffix(".v1") for name in self.types() if "." in name]


@dataclass
class Bench:
    states: States = field(default_factory=States)
    producer: Producer = field(default_factory=Producer)
    life: SameLife = field(default_factory=SameLife)
    metrics: Metrics = field(default_factory=Metrics)
    committed: dict[Partition, int] = field(default_factory=lambda: dict.fromkeys(PARTITIONS, 0))
    offsets: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROUTING_INPUTS, 0))

    async def process(self, cached: int = 100, rules: Rules = RULES) -> Routing:
        ports = Ports(self.states, self.producer, self.life, StoppedClock(), Meter(self.metrics))
        routing = Routing(ports, cached, rules)
        await routing.assigned(PARTITIONS, dict(self.committed))
        return routing

    def record(self, item: Item) -> Record:
        topic = CONVERSATION_COMMANDS if isinstance(item, CommandRecord) else CHANNEL_INBOUND
        key = document_key(item.workspace, item.conversation_id).encode()
        self.offsets[topic] += 1
        return Record(topic, 0, self.offsets[topic] - 1, key, wire.encode(item), {}, 0)

    def batch(self, *items: Item) -> Batch:
        return Batch([self.record(item) for item in items], self.committed)

    def commit(self, batch: Batch) -> None:
        self.committed |= batch.next_offsets()

    def counted(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"relaydesk_{name}_total") or 0.0


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_batch_is_one_write_and_one_publish(bench: Bench) -> None:
    routing = await bench.process()
    await routing.handle(bench.batch(message(), message(customer="bob"), reply()))
    assert len(bench.producer.calls) == 1
    assert sorted(bench.states.stored) == sorted(document_key("acme", conversation_id(who)) for who in ("ada", "bob"))
    assert bench.counted("routing_decided") == 3


async def test_after_commit_and_eviction_a_new_input_publishes_nothing_old(bench: Bench) -> None:
    first = bench.batch(message())
    routing = await bench.process()
    await routing.handle(first)
    bench.commit(first)
    fresh = await bench.process()
    bench.producer.calls.clear()
    await fresh.handle(bench.batch(reply()))
    assert bench.producer.events() == ["conversation.assigned", "message.sent"]


async def test_a_crash_between_write_and_publish_loses_nothing(bench: Bench) -> None:
    routing, batch = await bench.process(), bench.batch(message())
    bench.producer.faults = [Transient("away")]
    with pytest.raises(Transient):
        await routing.handle(batch)
    assert bench.producer.calls == []
    await (await bench.process()).handle(batch)
    assert bench.producer.events() == ["contact.created", "conversation.opened", "message.received"]
    assert bench.counted("routing_decided") == 1
    assert bench.counted("routing_applied_before") == 1


async def test_what_this_process_has_had_acknowledged_is_not_sent_again_by_a_retry(bench: Bench) -> None:
    routing, batch = await bench.process(), bench.batch(message())
    await routing.handle(batch)
    await routing.handle(batch)
    assert len(bench.producer.calls) == 1


async def test_an_unknown_outcome_of_the_write_is_looked_up(bench: Bench) -> None:
    for when in ("before", "after"):
        routing, batch = await bench.process(), bench.batch(message(when))
        bench.states.faults = [(when, Transient("unknown"))]
        with pytest.raises(Transient):
            await routing.handle(batch)
        await routing.handle(batch)
        bench.commit(batch)
    assert bench.producer.events().count("message.received") == 2


async def test_another_owners_write_fences_and_the_cache_is_dropped(bench: Bench) -> None:
    mine, other = await bench.process(), await bench.process()
    first = bench.batch(message())
    await mine.handle(first)
    await other.handle(bench.batch(reply()))
    with pytest.raises(Conflict):
        await mine.handle(bench.batch(message("m2")))
    assert bench.counted("routing_conflicts") == 1
    bench.states.reads.clear()
    await mine.handle(bench.batch(message("m3")))
    assert bench.states.reads, "the state is read anew"


async def test_a_cached_state_is_not_read_again_until_the_partition_is_lost(bench: Bench) -> None:
    routing = await bench.process()
    await routing.handle(bench.batch(message()))
    bench.states.reads.clear()
    await routing.handle(bench.batch(reply()))
    assert bench.states.reads == []
    await routing.revoked(PARTITIONS)
    await routing.handle(bench.batch(reply("r2")))
    assert len(bench.states.reads) == 1


async def test_a_full_cache_forgets_the_oldest_and_nothing_is_lost(bench: Bench) -> None:
    routing = await bench.process(cached=1)
    for n in range(3):
        batch = bench.batch(message(f"m{n}"), message(f"m{n}", customer="bob"))
        await routing.handle(batch)
        bench.commit(batch)
    assert bench.producer.events().count("message.received") == 6


async def test_the_fence_is_acknowledged_before_the_disabling_is_told(bench: Bench) -> None:
    routing = await bench.process()
    await routing.handle(bench.batch(message(bot_kind="webhook")))
    bench.producer.calls.clear()
    await routing.handle(bench.batch(message(customer="bob"), disable(), reply(customer="bob")))
    deliveries, rest = bench.producer.calls
    assert sorted(dict(one.headers)["type"] for one in deliveries) == [b"BotFence", b"DeliverMessage"]
    assert b"relaydesk.bot.disabled.v1" in [dict(one.headers)["type"] for one in rest]


async def test_a_topic_made_anew_loses_nothing(bench: Bench) -> None:
    routing = await bench.process()
    await routing.handle(bench.batch(message("m1"), message("m2")))
    bench.life.lives = {CHANNEL_INBOUND: "life-2"}
    bench.offsets, bench.committed = dict.fromkeys(ROUTING_INPUTS, 0), dict.fromkeys(PARTITIONS, 0)
    bench.producer.calls.clear()
    await (await bench.process()).handle(bench.batch(message("m3"), message("m2")))
    texts = [
        wire.decode_event(one.value).data["message"]["external_id"]
        for call in bench.producer.calls
        for one in call
        if one.value and b"message.received" in one.value
    ]
    assert texts == ["m1", "m2", "m3"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xfe\x00", "UNDECODABLE"),
        (b"", "UNDECODABLE"),
        (None, "UNDECODABLE"),
        (b"[" * 100_000, "UNDECODABLE"),
        (b'{"type":"MessageReceived"}', "UNDECODABLE"),
        (b'{"type":"SendReply"}', "UNKNOWN_TYPE"),
        (b'{"type":"MessageReceived.v2"}', "UNKNOWN_TYPE"),
        (b'{"type":7}', "UNDECODABLE"),
    ],
)
async def test_garbage_is_poison_with_its_reason_after_all_before_it_was_carried_out(
    bench: Bench, value: bytes | None, reason: str
) -> None:
    good, bad = bench.record(message()), replace(bench.record(message("m2")), value=value)
    routing = await bench.process()
    with pytest.raises(Poison) as poison:
        await routing.handle(Batch([good, bad, bench.record(message("m3"))], bench.committed))
    assert (poison.value.reason, poison.value.record) == (reason, bad)
    assert bench.producer.events().count("message.received") == 1


async def test_a_record_under_another_key_is_poison(bench: Bench) -> None:
    record = replace(bench.record(message()), key=b"acme:other")
    with pytest.raises(Poison) as poison:
        await (await bench.process()).handle(Batch([record], bench.committed))
    assert poison.value.reason == "KEY_MISMATCH"


async def test_refused_records_are_dead_letters_before_anything_is_written(bench: Bench) -> None:
    routing = await bench.process()
    batch = bench.batch(message(), *(message(f"x{n}", channel_id="another") for n in range(300)), reply(actor=BOT))
    bench.producer.faults = [Transient("away")]
    with pytest.raises(Transient):
        await routing.handle(batch)
    assert bench.states.stored == {}
    await routing.handle(batch)
    reasons = [dict(one.headers)["reason"] for one in bench.producer.letters]
    assert reasons == [b"FOREIGN"] * 300 + [b"ACTOR"]
    assert bench.producer.events()[-2:] == ["message.received", "command.rejected"]
    labels = {"topic": CHANNEL_INBOUND, "reason": "FOREIGN"}
    assert bench.metrics.registry.get_sample_value("relaydesk_records_dead_lettered_total", labels) == 300


async def test_a_dead_lettered_command_is_rejected_once_however_often_it_is_told(bench: Bench) -> None:
    await (await bench.process()).handle(bench.batch(message()))
    bench.committed[CHANNEL_INBOUND, 0] = 1
    bench.producer.calls.clear()
    routing, record = await bench.process(), bench.record(reply())
    await routing.dead_lettered(record, "BUG")
    await routing.dead_lettered(record, "BUG")
    assert bench.producer.events() == ["command.rejected"]
    assert wire.decode_event(bench.producer.calls[0][0].value or b"").data["code"] == "INTERNAL"
    redelivered = await bench.process()
    await redelivered.handle(Batch([record], bench.committed))
    assert bench.producer.calls[0] == bench.producer.calls[1]
    assert len(bench.producer.calls) == 2


async def test_a_command_that_cannot_be_read_as_a_whole_is_answered_if_its_head_can(bench: Bench) -> None:
    record = bench.record(reply())
    assert record.value is not None
    later_version = replace(record, value=record.value.replace(b'"SendReply"', b'"SendReply.v2"'))
    routing = await bench.process()
    await routing.dead_lettered(later_version, "UNKNOWN_TYPE")
    await routing.dead_lettered(replace(bench.record(reply()), value=b"garbage"), "UNDECODABLE")
    await routing.dead_lettered(bench.record(message()), "FOREIGN")
    assert bench.producer.events() == ["command.rejected"]


async def test_a_document_that_cannot_be_read_does_not_keep_its_commands_from_an_answer(bench: Bench) -> None:
    record = bench.record(reply())
    bench.states.unreadable = {document_key("acme", conversation_id())}
    await (await bench.process()).dead_lettered(record, "BUG")
    assert bench.producer.events() == ["command.rejected"]
    assert bench.states.stored == {}


async def test_a_dead_letters_answer_waits_for_an_engine_that_is_away(bench: Bench) -> None:
    bench.states.faults = [("before", Transient("away"))]
    routing, record = await bench.process(), bench.record(reply())
    with pytest.raises(Transient):
        await routing.dead_lettered(record, "BUG")
    assert bench.producer.calls == []


async def test_a_command_under_another_key_is_answered_without_touching_a_document(bench: Bench) -> None:
    record = replace(bench.record(reply()), key=b"acme:other")
    await (await bench.process()).dead_lettered(record, "KEY_MISMATCH")
    assert bench.producer.events() == ["command.rejected"]
    assert bench.states.stored == {}


async def test_what_an_erased_command_said_is_not_said_again_in_the_same_batch(bench: Bench) -> None:
    """A plan for each record: what was read of the memory before the first one is out of date for the third."""
    routing = await bench.process(rules=Rules(plan_limit=1))
    await routing.handle(bench.batch(message(), reply(text="my secret")))
    bench.producer.calls.clear()
    await routing.handle(bench.batch(erase(), reply(text="my secret")))
    assert bench.producer.events() == ["contact.erased", "command.repeated"]
    assert b"secret" not in b"".join(record.value or b"" for call in bench.producer.calls for record in call)
    assert "secret" not in repr(bench.states.stored) + repr(bench.states.memory)
