"""One suite for Kafka and for its in-memory twin: what handlers may rely on."""

import time

import pytest

from shared.contracts.topics import MAX_RECORD_BYTES, dead_letter_name
from shared.runtime.batches import Batch
from shared.runtime.faults import Fatal, Fenced, Poison, Transient
from shared.runtime.group_loop import GroupOptions
from shared.runtime.records import Outgoing, Record
from shared.runtime.tail import LookBack
from shared.testing.eventually import eventually
from tests.integration.runtime.conftest import Running
from tests.integration.runtime.worlds import CONTACTS, INBOUND, QUICK, SOON, Recorder, World, numbered

GROUP = "routing"


async def test_records_arrive_in_the_order_of_their_key_with_everything_they_carry(
    world: World, running: Running
) -> None:
    producer = await running.start(world.messaging.producer())
    handler = Recorder()
    await running.start(world.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))
    await producer.publish([Outgoing(INBOUND, "w:é", b"\x00\xff", (("type", b"X"), ("seq", b"7")))])
    await producer.publish(numbered(300))

    await eventually(lambda: len(handler.handled) == 301, "all arrive")

    special = next(record for record in handler.handled if record.key == "w:é".encode())
    assert (special.topic, special.value, dict(special.headers)) == (INBOUND, b"\x00\xff", {"type": b"X", "seq": b"7"})
    assert abs(special.timestamp_ms / 1000 - time.time()) < 60
    rest = [record for record in handler.handled if record.key == b"w:c"]
    assert [record.value for record in rest] == [str(number).encode() for number in range(300)]
    assert [record.offset for record in rest] == sorted(record.offset for record in rest)


async def test_exactly_the_handled_batch_is_committed_and_the_next_member_goes_on_from_there(
    world: World, running: Running
) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish(numbered(30))
    at: list[object] = []

    async def stop_at_20(batch: Batch) -> None:
        at.append(batch.committed)
        if any(int(record.value or b"0") >= 20 for record in batch.records):
            raise Transient("waits")

    first = Recorder(stop_at_20)
    consumer = world.messaging.group(GROUP, [INBOUND], first, producer, GroupOptions(max_records=10, retry=SOON))
    await consumer.start()
    await eventually(lambda: len(first.handled) == 20 and len(first.calls) > 2, "two batches are through, one is held")
    await consumer.stop()
    partition = (INBOUND, first.handled[0].partition)
    assert (await world.committed(GROUP))[partition] == 20

    second = Recorder()
    await running.start(world.messaging.group(GROUP, [INBOUND], second, producer, QUICK))
    await eventually(lambda: second.values == [str(n).encode() for n in range(20, 30)], "the rest, and nothing twice")
    assert second.assignments[0][1][partition] == 20
    assert second.committed_seen[0][partition] == 20


async def test_committed_offsets_in_the_batch_follow_the_commits(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish(numbered(30))
    handler = Recorder()
    await running.start(
        world.messaging.group(GROUP, [INBOUND], handler, producer, GroupOptions(max_records=10, retry=SOON))
    )

    await eventually(lambda: len(handler.handled) == 30, "all are handled")

    partition = (INBOUND, handler.handled[0].partition)
    assert [seen[partition] for seen in handler.committed_seen] == [call[0].offset for call in handler.calls]


async def test_a_bug_is_tried_three_times_then_its_record_alone_is_dead_lettered(
    world: World, running: Running
) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish(numbered(10))

    async def chokes_on_4(batch: Batch) -> None:
        if any(record.value == b"4" for record in batch.records):
            raise KeyError("four")

    handler = Recorder(chokes_on_4)
    consumer = await running.start(world.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))
    await eventually(lambda: len(handler.handled) == 9, "the others are handled")
    await producer.publish(numbered(1, first=10))
    await eventually(lambda: handler.values[-1] == b"10", "the partition goes on")

    assert sorted(int(value or b"") for value in handler.values) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert [len(call) for call in handler.calls[:3]] == [10, 10, 10]
    [letter] = await world.records(dead_letter_name(INBOUND))
    culprit = next(record for call in handler.calls for record in call if record.value == b"4")
    assert (letter.key, letter.value) == (culprit.key, b"4")
    assert {name: letter.headers[name] for name in letter.headers if name != "time"} == {
        "reason": b"BUG",
        "error": b"KeyError: 'four'",
        "attempts": b"4",
        "source-topic": INBOUND.encode(),
        "source-partition": str(culprit.partition).encode(),
        "source-offset": b"4",
    }
    assert letter.headers["time"].endswith(b"Z")
    assert consumer.failure is None
    partition = (INBOUND, culprit.partition)

    async def passed() -> bool:
        return (await world.committed(GROUP))[partition] == 11

    await eventually(passed, "its offset passes")


async def test_poison_of_one_record_in_a_batch_costs_only_that_record(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish(numbered(5))

    async def refuses_odd(batch: Batch) -> None:
        for record in batch.records:
            if int(record.value or b"0") % 2:
                raise Poison("UNDECODABLE", "odd", record)

    handler = Recorder(refuses_odd)
    await running.start(world.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))

    await eventually(lambda: handler.values == [b"0", b"2", b"4"], "the even ones, once and in order")
    letters = await world.records(dead_letter_name(INBOUND))
    assert [(letter.value, letter.headers["reason"]) for letter in letters] == [
        (b"1", b"UNDECODABLE"),
        (b"3", b"UNDECODABLE"),
    ]


async def test_poison_without_a_record_is_found_by_trying_one_by_one(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish(numbered(5))

    async def refuses_3(batch: Batch) -> None:
        if any(record.value == b"3" for record in batch.records):
            raise Poison("FOREIGN")

    handler = Recorder(refuses_3)
    await running.start(world.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))

    await eventually(lambda: handler.values == [b"0", b"1", b"2", b"4"], "all but the culprit")
    [letter] = await world.records(dead_letter_name(INBOUND))
    assert (letter.value, letter.headers["reason"], letter.headers["attempts"]) == (b"3", b"FOREIGN", b"1")


async def test_bytes_that_nobody_understands_are_dead_lettered_as_they_are(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    garbage = bytes(range(256)) * 4
    await producer.publish([Outgoing(INBOUND, "w:c", garbage), Outgoing(INBOUND, "w:c", None), *numbered(1)])

    async def decode(batch: Batch) -> None:
        for record in batch.records:
            if record.value != b"0":
                raise Poison("UNDECODABLE", "no JSON", record)

    handler = Recorder(decode)
    await running.start(world.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))

    await eventually(lambda: handler.values == [b"0"], "what comes after the garbage")
    letters = await world.records(dead_letter_name(INBOUND))
    assert [(letter.key, letter.value) for letter in letters] == [(b"w:c", garbage), (b"w:c", None)]


async def test_a_transient_error_holds_the_same_batch_until_it_passes(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish(numbered(5))
    left = [Transient("MongoDB is away"), ConnectionResetError("nobody translated this one"), Transient("again")]

    async def at_last(batch: Batch) -> None:
        if left:
            raise left.pop()

    handler = Recorder(at_last)
    await running.start(world.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))

    await eventually(lambda: len(handler.handled) == 5, "handled in the end")
    assert [[record.offset for record in call] for call in handler.calls] == [[0, 1, 2, 3, 4]] * 4
    assert not await world.records(dead_letter_name(INBOUND))


async def test_a_fence_drops_caches_and_reads_again_from_the_committed_offset(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish(numbered(3))
    fences = 1

    async def fenced_once(batch: Batch) -> None:
        nonlocal fences
        if fences and len(handler.handled) >= 3:
            fences -= 1
            raise Fenced("somebody else wrote this")

    handler = Recorder(fenced_once)
    consumer = await running.start(world.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))
    await eventually(lambda: len(handler.handled) == 3, "the first batch")
    await producer.publish(numbered(3, first=3))
    await eventually(lambda: len(handler.handled) == 6, "read again")

    everything = frozenset({(INBOUND, 0), (INBOUND, 1)})
    partition = (INBOUND, handler.handled[0].partition)
    assert [partitions for partitions, _ in handler.assignments] == [everything, everything]
    assert handler.assignments[1][1][partition] == 3
    assert handler.revocations == [everything]
    assert handler.values == [str(number).encode() for number in range(6)]
    assert consumer.failure is None


async def test_a_fatal_error_ends_the_consumer_and_commits_nothing(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish(numbered(3))

    async def diverged(batch: Batch) -> None:
        raise Fatal("divergence")

    consumer = await running.start(world.messaging.group(GROUP, [INBOUND], Recorder(diverged), producer, QUICK))

    await eventually(lambda: world.fatals, "the process is told")
    assert str(world.fatals[0]) == "divergence"
    assert consumer.progress() == "divergence"
    assert await consumer.ready() is not None
    assert not any((await world.committed(GROUP)).values())


async def test_the_consumer_stops_when_everything_goes_to_the_dead_letters(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish(numbered(20))

    async def never(batch: Batch) -> None:
        raise Poison("UNDECODABLE", "", batch.records[0])

    options = GroupOptions(retry=SOON, dead_letters_in_a_row=7)
    await running.start(world.messaging.group(GROUP, [INBOUND], Recorder(never), producer, options))

    await eventually(lambda: world.fatals, "it gives up")
    assert "7 records in a row" in str(world.fatals[0])
    assert len(await world.records(dead_letter_name(INBOUND))) == 7
    assert not any((await world.committed(GROUP)).values())


async def test_the_hook_hears_of_a_dead_letter_before_its_offset_passes(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish(numbered(2))
    told: list[tuple[bytes | None, str]] = []
    committed_then: list[object] = []

    async def hook(record: Record, reason: str) -> None:
        if not told:
            told.append((record.value, reason))
            raise Transient("at first it cannot publish")
        told.append((record.value, reason))
        committed_then.append((await world.committed(GROUP)).get((INBOUND, record.partition), 0))

    async def refuse(batch: Batch) -> None:
        for record in batch.records:
            if record.value == b"0":
                raise Poison("FOREIGN", "", record)

    options = GroupOptions(retry=SOON, on_dead_letter=hook)
    handler = Recorder(refuse)
    await running.start(world.messaging.group(GROUP, [INBOUND], handler, producer, options))

    await eventually(lambda: handler.values == [b"1"], "the rest is handled")
    assert told == [(b"0", "FOREIGN")] * 2
    assert committed_then == [0]
    assert len(await world.records(dead_letter_name(INBOUND))) == 1


async def test_position_and_end_meet_when_all_is_handled(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    handler = Recorder()
    consumer = await running.start(world.messaging.group(GROUP, [INBOUND], handler, producer, QUICK))
    await producer.publish(numbered(4))
    await eventually(lambda: len(handler.handled) == 4, "handled")

    partition = (INBOUND, handler.handled[0].partition)
    assert consumer.owns(partition)
    await eventually(lambda: consumer.position(partition) == 4, "the position follows")
    assert await consumer.end_offset(partition) == 4
    assert not consumer.owns((INBOUND, 99))
    with pytest.raises(Fenced):
        consumer.position((INBOUND, 99))


async def test_a_record_over_the_limit_is_refused_before_anything_is_sent(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())

    with pytest.raises(ValueError, match="over the limit"):
        await producer.publish([*numbered(1), Outgoing(INBOUND, "w:c", b"x" * MAX_RECORD_BYTES)])
    assert not await world.records(INBOUND)

    await producer.publish([Outgoing(INBOUND, "w:c", b"x" * (MAX_RECORD_BYTES - 200))])
    assert len(await world.records(INBOUND)) == 1


async def test_a_tail_reads_everything_then_what_comes(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish([*numbered(50), *numbered(50, key="w:other")])
    seen: list[Record] = []
    tail = await running.start(world.messaging.tail(INBOUND, seen.extend))
    await tail.wait_caught_up()
    assert len(seen) == 100

    await producer.publish(numbered(1, first=50))

    await eventually(lambda: len(seen) == 101, "the new one")
    assert [record.value for record in seen if record.key == b"w:c"] == [str(n).encode() for n in range(51)]
    assert sum(tail.positions.values()) == 101


async def test_a_tail_looks_back_no_further_than_its_records(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish(numbered(50))
    seen: list[Record] = []

    tail = await running.start(world.messaging.tail(INBOUND, seen.extend, LookBack(seconds=600, records=10)))
    await tail.wait_caught_up()

    assert [record.value for record in seen] == [str(number).encode() for number in range(40, 50)]
    assert max(tail.starts.values()) == 40


async def test_a_tail_looks_back_no_further_than_its_seconds(world: World, running: Running) -> None:
    producer = await running.start(world.messaging.producer())
    await producer.publish(numbered(5))
    seen: list[Record] = []

    tail = await running.start(world.messaging.tail(INBOUND, seen.extend, LookBack(seconds=-1, records=10)))
    await tail.wait_caught_up()
    await producer.publish(numbered(1, first=5))

    await eventually(lambda: seen, "what came after")
    assert [record.value for record in seen] == [b"5"]


async def test_a_table_holds_the_latest_value_of_each_key_and_forgets_tombstones(
    world: World, running: Running
) -> None:
    producer = await running.start(world.messaging.producer())
    rows = [("w:a", b"1"), ("w:b", b"1"), ("w:a", b"2"), ("w:b", None), ("w:c", b"1")]
    await producer.publish([Outgoing(CONTACTS, key, value) for key, value in rows])
    changes: list[tuple[str, bytes | None]] = []

    table = await running.start(world.messaging.table(CONTACTS, lambda key, value: changes.append((key, value))))

    assert dict(table) == {"w:a": b"2", "w:c": b"1"}
    assert sorted(changes, key=repr) == sorted(rows, key=repr)
    await producer.publish([Outgoing(CONTACTS, "w:c", None), Outgoing(CONTACTS, "w:d", b"1")])
    await eventually(lambda: dict(table) == {"w:a": b"2", "w:d": b"1"}, "it follows")
