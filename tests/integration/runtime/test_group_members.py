"""Members of a group that come, go, are slow, die, or find offsets that cannot be."""

import asyncio
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

from shared.runtime import group_watch, topic_admin
from shared.runtime.batches import Batch
from shared.runtime.faults import Poison, Transient
from shared.runtime.group_loop import GroupOptions
from shared.runtime.records import Outgoing, Partition, Record
from shared.runtime.retry_policy import RetryPolicy
from shared.testing.eventually import eventually
from tests.integration.runtime.conftest import Running
from tests.integration.runtime.worlds import COMMANDS, INBOUND, QUICK, REGISTRY, SOON, BrokerWorld, Recorder, numbered

GROUP = "routing"


class Members:
    """Members as processes, killed when the test is over."""

    def __init__(self, world: BrokerWorld, folder: Path) -> None:
        self._world = world
        self._folder = folder
        self._processes: list[Process] = []

    async def start(self, instance: str, seconds_per_batch: float, last: int = -1) -> Process:
        where = self._world.where
        words = ["-m", "tests.integration.runtime.member", where.kafka, where.topic_prefix, instance, GROUP]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, str(self._folder / "notes"), str(seconds_per_batch), str(last)
        )
        self._processes.append(process)
        return process

    def notes(self) -> list[str]:
        """What all of them wrote, in order."""
        file = self._folder / "notes"
        return file.read_text().splitlines() if file.exists() else []

    def done(self) -> list[int]:
        return [int(line.split()[1]) for line in self.notes() if line.startswith("done")]

    async def close(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest_asyncio.fixture
async def members(kafka: BrokerWorld, tmp_path: Path) -> AsyncIterator[Members]:
    started = Members(kafka, tmp_path)
    yield started
    await started.close()


def only_partition(records: list[Record]) -> Partition:
    [partition] = {(record.topic, record.partition) for record in records}
    return partition


async def test_sigterm_lets_the_batch_under_way_finish_and_commits_it(
    kafka: BrokerWorld, members: Members, running: Running
) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(50))
    member = await members.start("1", 0.3, last=10)
    await eventually(lambda: "begin 10" in members.notes(), "it is in its second batch")

    member.terminate()

    assert await asyncio.wait_for(member.wait(), 60) == 0
    assert members.done() == list(range(20))
    assert members.notes()[-1].startswith("revoked")
    assert max((await kafka.committed(GROUP)).values()) == 20


async def test_the_next_start_of_a_killed_member_takes_its_partitions_over_at_once(
    kafka: BrokerWorld, members: Members, running: Running
) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(30))
    member = await members.start("1", 0.2)
    await eventually(lambda: len(members.done()) >= 10, "it works")
    member.kill()
    await member.wait()

    await members.start("1", 0.0)

    # without a stable instance id the broker would wait for the end of the session
    await eventually(lambda: sorted(set(members.done())) == list(range(30)), "the rest is handled")


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_stopped_member_gives_its_partitions_up_where_its_successor_has_another_name(
    kafka: BrokerWorld, running: Running, leaves: bool
) -> None:
    producer = await running.start(kafka.messaging.producer())
    kafka.where = kafka.where.model_copy(update={"kafka_leave_on_stop": leaves})
    first, second = Recorder(), Recorder()
    long = replace(QUICK, session_timeout_s=300.0)
    old = kafka.member("pod-a").group(GROUP, [INBOUND], first, producer, long)
    await old.start()
    await running.start(kafka.member("pod-b").group(GROUP, [INBOUND], second, producer, long))
    await eventually(lambda: first.assignments and second.assignments, "both have a share")

    await old.stop()

    def has_all() -> bool:
        return second.assignments[-1][0] == frozenset({(INBOUND, 0), (INBOUND, 1)})

    if leaves:
        await eventually(has_all, "the other has it all")
    else:
        await asyncio.sleep(3)  # a heartbeat tells of a rebalance after 1 s; none must come
        assert not has_all()


async def test_a_rebalance_waits_for_a_slow_batch_and_nothing_is_handled_twice(
    kafka: BrokerWorld, running: Running
) -> None:
    producer = await running.start(kafka.messaging.producer())
    goes_on, entered = asyncio.Event(), asyncio.Event()

    async def slow(batch: Batch) -> None:
        entered.set()
        await goes_on.wait()

    first, second = Recorder(slow), Recorder()
    one = await running.start(kafka.member("1").group(GROUP, [INBOUND], first, producer, QUICK))
    await producer.publish([Outgoing(INBOUND, f"w:{n}", b"old") for n in range(20)])
    await entered.wait()
    two = kafka.member("2").group(GROUP, [INBOUND], second, producer, QUICK)
    starting = asyncio.create_task(running.start(two))
    await eventually(lambda: not one.owns((INBOUND, 0)), "the first hears of the rebalance")
    assert not first.handled and not first.revocations

    goes_on.set()
    await starting
    await eventually(lambda: len(first.assignments) == 2 and second.assignments, "each has its share")
    await producer.publish([Outgoing(INBOUND, f"w:{n}", b"new") for n in range(20)])
    await eventually(lambda: len(first.handled) + len(second.handled) == 40, "all are handled")

    places = [(record.partition, record.offset) for record in first.handled + second.handled]
    assert len(set(places)) == 40
    assert first.revocations == [frozenset({(INBOUND, 0), (INBOUND, 1)})]
    assert {record.partition for record in second.handled}.isdisjoint(
        {record.partition for record in first.handled if record.value == b"new"}
    )
    assert [one.owns((INBOUND, n)) + two.owns((INBOUND, n)) for n in (0, 1)] == [1, 1]


async def test_a_batch_that_outlasts_the_rebalance_is_fenced_and_its_records_are_read_by_the_new_owner(
    kafka: BrokerWorld, running: Running
) -> None:
    """A batch of one partition alone could still be committed by who keeps it: what is fenced has records of both."""
    producer = await running.start(kafka.messaging.producer())
    goes_on = asyncio.Event()
    fenced: list[Record] = []

    async def slow(batch: Batch) -> None:
        if not goes_on.is_set() and len(batch.next_offsets()) == 2:
            fenced.extend(batch.records)
            await goes_on.wait()

    async def is_in_a_batch_of_both() -> bool:
        await producer.publish([Outgoing(INBOUND, f"w:{n}", b"") for n in range(20)])
        return bool(fenced)

    first, second = Recorder(slow), Recorder()
    impatient = GroupOptions(retry=SOON, revoke_wait_s=0.2)
    await running.start(kafka.member("1").group(GROUP, [INBOUND], first, producer, impatient))
    await eventually(is_in_a_batch_of_both, "a batch with records of both partitions", every=0.1)
    before = len(first.handled)
    await running.start(kafka.member("2").group(GROUP, [INBOUND], second, producer, QUICK))
    await eventually(lambda: second.handled, "the new owner reads its share")
    assert len(first.handled) == before

    goes_on.set()

    await eventually(lambda: len(first.assignments) == 2, "the first begins anew")
    assert first.revocations == [frozenset({(INBOUND, 0), (INBOUND, 1)})]
    share = {record.partition for record in second.handled}
    expected = {(record.partition, record.offset) for record in await kafka.records(INBOUND)}

    def of_the_first() -> list[Record]:
        """Since the fence."""
        return first.handled[before + len(fenced) :]

    def committed() -> list[Record]:
        return first.handled[:before] + of_the_first() + second.handled

    await eventually(lambda: {(r.partition, r.offset) for r in committed()} == expected, "nothing is lost")
    assert share.isdisjoint({record.partition for record in of_the_first()})


async def test_a_held_batch_gives_way_to_a_rebalance(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())

    async def away(batch: Batch) -> None:
        raise Transient("MongoDB is away")

    patient = GroupOptions(retry=RetryPolicy(first_delay_s=600, longest_delay_s=600))
    first, second = Recorder(away), Recorder()
    await running.start(kafka.member("1").group(GROUP, [INBOUND], first, producer, patient))
    await producer.publish([Outgoing(INBOUND, f"w:{n}", b"") for n in range(20)])
    await eventually(lambda: first.calls, "it is held")

    await running.start(kafka.member("2").group(GROUP, [INBOUND], second, producer, QUICK))
    await eventually(lambda: second.handled, "the new member works on its share, long before the next try")


async def test_a_stop_does_not_wait_for_a_held_batch(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(1))

    async def away(batch: Batch) -> None:
        raise Transient("MongoDB is away")

    patient = GroupOptions(retry=RetryPolicy(first_delay_s=600, longest_delay_s=600))
    handler = Recorder(away)
    consumer = kafka.messaging.group(GROUP, [INBOUND], handler, producer, patient)
    await consumer.start()
    await eventually(lambda: handler.calls, "it is held")
    assert await consumer.ready() == "MongoDB is away"
    assert consumer.progress() is None

    began = time.monotonic()
    await consumer.stop()

    assert time.monotonic() - began < 60, "the next try would be in ten minutes"
    assert not any((await kafka.committed(GROUP)).values())


async def test_a_batch_held_for_too_long_is_polled_anew(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(3))
    handler = Recorder()

    async def away_for_a_while(batch: Batch) -> None:
        if len(handler.assignments) < 2:
            raise Transient("MongoDB is away")

    handler.act = away_for_a_while
    options = GroupOptions(retry=RetryPolicy(first_delay_s=0.01, longest_delay_s=0.05, hold_s=0.3))
    await running.start(kafka.messaging.group(GROUP, [INBOUND], handler, producer, options))

    await eventually(lambda: len(handler.handled) == 3, "handled after it was polled anew")
    assert handler.values == [b"0", b"1", b"2"]


async def test_an_idle_group_hands_a_record_over_at_once(kafka: BrokerWorld, running: Running) -> None:
    """Within twenty milliseconds, and what a busy machine adds: the broker's own answer shows how much that is."""
    producer = await running.start(kafka.messaging.producer())
    arrivals: list[float] = []

    async def note(batch: Batch) -> None:
        arrivals.append(time.monotonic())

    await running.start(kafka.messaging.group(GROUP, [INBOUND], Recorder(note), producer, QUICK))
    delays: list[float] = []
    answers: list[float] = []
    for number in range(12):
        await asyncio.sleep(0.25 + number / 100)  # the pause is what is tested: empty polls of every age
        sent = time.monotonic()
        await producer.publish([Outgoing(INBOUND, "w:c", b"")])
        answers.append(time.monotonic() - sent)
        await eventually(lambda: len(arrivals) > len(delays), "it arrives", every=0.002)
        delays.append(arrivals[-1] - sent)

    assert median(delays) < 0.02 + 4 * median(answers), (delays, answers)


async def test_a_handler_that_hangs_is_no_progress(kafka: BrokerWorld, running: Running) -> None:
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(1))
    goes_on = asyncio.Event()

    async def hang(batch: Batch) -> None:
        await goes_on.wait()

    options = GroupOptions(retry=SOON, stall_s=0.2)
    consumer = await running.start(kafka.messaging.group(GROUP, [INBOUND], Recorder(hang), producer, options))

    said = await eventually(consumer.progress, "it says so")
    assert "with its handler" in said
    goes_on.set()
    await eventually(lambda: consumer.progress() is None, "it moves again")


async def test_a_group_is_ready_again_when_a_trouble_has_passed_though_nothing_arrives(
    kafka: BrokerWorld, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = await running.start(kafka.messaging.producer())
    consumer = await running.start(kafka.messaging.group(GROUP, [INBOUND], Recorder(), producer, QUICK))
    getmany, broken = AIOKafkaConsumer.getmany, True

    async def fails(self: AIOKafkaConsumer, *partitions: object, **options: object) -> object:
        if broken:
            raise KafkaConnectionError("the coordinator is away")
        return await getmany(self, *partitions, **options)

    async def ready() -> bool:
        return await consumer.ready() is None

    async def unready() -> bool:
        return await consumer.ready() == "in trouble"

    await eventually(ready, "it works")
    monkeypatch.setattr(AIOKafkaConsumer, "getmany", fails)
    await eventually(unready, "it is in trouble")
    broken = False
    await eventually(ready, "it works again")
    assert consumer.failure is None


async def test_both_inputs_of_a_partition_belong_to_the_same_member(bare: BrokerWorld, running: Running) -> None:
    topics = [INBOUND, COMMANDS]
    three = {topic: replace(REGISTRY[topic], partitions=3) for topic in topics}
    await topic_admin.apply(bare.messaging, three)
    producer = await running.start(bare.messaging.producer())
    handlers = [Recorder(), Recorder()]
    for number, handler in enumerate(handlers, 1):
        await running.start(bare.member(str(number)).group(GROUP, topics, handler, producer, QUICK))

    def shares() -> list[list[Partition]]:
        return [sorted(handler.assignments[-1][0]) for handler in handlers if handler.assignments]

    await eventually(lambda: sorted(len(share) for share in shares()) == [2, 4], "both have joined and share")
    for share in shares():
        assert {n for topic, n in share if topic == INBOUND} == {n for topic, n in share if topic == COMMANDS}


async def test_asking_for_the_end_does_not_wait_for_the_fetch_of_an_idle_consumer(
    kafka: BrokerWorld, running: Running
) -> None:
    producer = await running.start(kafka.messaging.producer())
    consumer = await running.start(kafka.messaging.group(GROUP, [INBOUND], Recorder(), producer, QUICK))
    delays: list[float] = []
    for _ in range(5):
        await asyncio.sleep(0.1)  # so that a fetch is under way
        began = time.monotonic()
        await consumer.end_offset((INBOUND, 0))
        delays.append(time.monotonic() - began)

    assert median(delays) < 0.25, f"{delays}: a fetch waits for 0.5 s"


async def test_lag_is_measured_and_dead_letters_are_counted(
    kafka: BrokerWorld, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_watch, "EVERY_S", 0.1)
    producer = await running.start(kafka.messaging.producer())
    await producer.publish(numbered(3))

    async def refuse(batch: Batch) -> None:
        for record in batch.records:
            if record.value == b"1":
                raise Poison("FOREIGN", "", record)

    handler = Recorder(refuse)
    await running.start(kafka.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))
    await eventually(lambda: len(handler.handled) == 2, "handled")

    def shown() -> str:
        return kafka.metrics.exposition().decode()

    await eventually(lambda: f'records_consumed_total{{group="{GROUP}",topic="{INBOUND}"}} 3.0' in shown(), "counted")
    assert f'records_dead_lettered_total{{reason="FOREIGN",topic="{INBOUND}"}} 1.0' in shown()
    await eventually(lambda: f'consumer_lag{{group="{GROUP}",partition="0",topic="{INBOUND}"}} 0.0' in shown(), "lag")
