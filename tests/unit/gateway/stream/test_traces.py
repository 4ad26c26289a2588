"""A traced event's span ends when its frames are written, and says to how many sockets."""

from dataclasses import replace

from shared.testing.recorded_traces import RecordedTraces, parent_of
from tests.unit.gateway.stream.replica import SMALL, Client, Log, Replica

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def sockets(tracing: RecordedTraces) -> list[object]:
    return [(span.attributes or {})["relaydesk.sockets"] for span in tracing.spans]


def connected(replica: Replica, *members: str) -> list[Client]:
    return [Client("acme", member).connect(replica) for member in members]


async def test_its_span_names_the_record_and_counts_the_sockets_that_were_written_to() -> None:
    async with RecordedTraces() as tracing:
        log = Log()
        replica = Replica(log, tracing=tracing)
        connected(replica, "ann", "bob", "cleo")
        log.publish("acme", "c1", traceparent=HEADER)
        log.publish("acme", "c2")
        log.publish("acme", "c3", traceparent=HEADER, audience="agent:bob")
        replica.read()
    assert tracing.names == ["stream workspace.events"] * 2
    assert sockets(tracing) == [3, 1]
    first = tracing.spans[0]
    assert parent_of(first) == "b7ad6b7169203331"
    assert (first.attributes or {})["relaydesk.workspace"] == "acme"
    assert (first.attributes or {})["relaydesk.conversation_id"] == "acme-c1"
    assert (first.attributes or {})["messaging.kafka.offset"] == 0


async def test_where_nobody_is_connected_and_for_a_repeat_there_is_no_span() -> None:
    async with RecordedTraces() as tracing:
        log = Log()
        replica = Replica(log, tracing=tracing)
        log.publish("acme", "c1", traceparent=HEADER)
        replica.read()
        connected(replica, "ann")
        log.redeliver(1)
        log.append(log.records[0])
        replica.read()
    assert tracing.spans == []


async def test_an_event_that_is_held_back_ends_its_span_when_it_is_written() -> None:
    async with RecordedTraces() as tracing:
        log = Log()
        replica = Replica(log, tracing=tracing)
        connected(replica, "ann")
        replica.clock.step = 0.001  # a delivery takes a millisecond: six more may pass before the next one
        for _ in range(2):
            log.publish("acme", "c1", traceparent=HEADER)
            replica.read()
        assert replica.hub.held_for() is not None
        [room] = replica.hub._rooms.values()
        assert len(room.traced) == 1
        replica.clock.seconds += SMALL.join_s
        replica.hub.flush()
        assert room.traced == []
    assert sockets(tracing) == [1, 1]


async def test_of_a_batch_too_large_for_one_write_nobody_was_written_to() -> None:
    async with RecordedTraces() as tracing:
        log = Log()
        replica = Replica(log, replace(SMALL, buffer_bytes=100), tracing=tracing)
        connected(replica, "ann")
        log.publish("acme", "c1", traceparent=HEADER)
        replica.read()
    assert sockets(tracing) == [0]


async def test_a_room_that_everybody_left_takes_its_open_spans_along() -> None:
    async with RecordedTraces() as tracing:
        log = Log()
        replica = Replica(log, tracing=tracing)
        [ann] = connected(replica, "ann")
        replica.clock.step = 0.001
        for _ in range(2):
            log.publish("acme", "c1", traceparent=HEADER)
            replica.read()
        ann.cut()
        replica.clock.seconds += SMALL.join_s
        replica.hub.flush()
    assert sockets(tracing) == [1]
