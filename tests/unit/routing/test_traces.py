"""What follows from a sampled record carries its trace, also when it is published again; nothing else carries one."""

from dataclasses import replace

import pytest

from services.routing.documents import Document
from shared.runtime.batches import Batch
from shared.runtime.faults import Transient
from shared.runtime.records import Outgoing
from shared.runtime.traced_records import Processing
from shared.runtime.tracing import TRACEPARENT
from shared.testing.recorded_traces import RecordedTraces, header_of
from tests.unit.routing.build import message, reply
from tests.unit.routing.test_handlers import Bench

THEIRS = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def sampled(batch: Batch) -> Batch:
    return replace(batch, records=[replace(one, headers={**one.headers, TRACEPARENT: THEIRS}) for one in batch.records])


def published(bench: Bench) -> list[Outgoing]:
    return [record for call in bench.producer.calls for record in call]


def traces(records: list[Outgoing]) -> set[bytes | None]:
    return {dict(record.headers).get(TRACEPARENT) for record in records}


async def test_events_deliveries_and_requests_to_bots_carry_the_trace_of_what_they_follow_from() -> None:
    bench = Bench()
    routing = await bench.process()
    async with RecordedTraces() as tracing:
        with Processing(tracing, "routing").of(sampled(bench.batch(message(bot_kind="webhook")))) as batch:
            await routing.handle(batch)
        with Processing(tracing, "routing").of(sampled(bench.batch(reply(disable_bot=True)))) as batch:
            await routing.handle(batch)
    first, second = (header_of(span) for span in tracing.spans)
    kinds = {dict(record.headers)["type"]: dict(record.headers)[TRACEPARENT] for record in published(bench)}
    assert kinds[b"relaydesk.message.received.v1"] == kinds[b"BotRequest"] == first
    assert kinds[b"relaydesk.message.sent.v1"] == kinds[b"DeliverMessage"] == kinds[b"BotFence"] == second


async def test_what_follows_from_other_records_of_the_batch_carries_none() -> None:
    bench = Bench()
    routing = await bench.process()
    batch = bench.batch(message(), message(customer="bob"))
    async with RecordedTraces() as tracing:
        mixed = replace(batch, records=[*sampled(batch).records[:1], *batch.records[1:]])
        with Processing(tracing, "routing").of(mixed) as handled:
            await routing.handle(handled)
    bobs = [record for record in published(bench) if b"bob" in (record.value or b"")]
    assert bobs
    assert traces(bobs) == {None}
    assert len(traces(published(bench))) == 2


async def test_a_record_that_is_published_again_after_a_crash_is_the_same_to_the_byte_trace_included() -> None:
    bench = Bench()
    batch = sampled(bench.batch(message()))
    async with RecordedTraces() as tracing:
        bench.producer.faults = [Transient("the process dies here")]
        with pytest.raises(Transient), Processing(tracing, "routing").of(batch) as handled:
            await (await bench.process()).handle(handled)
        [document] = bench.states.stored.values()
        with Processing(tracing, "routing").of(batch) as handled:  # a redelivery: another span, the same records
            await (await bench.process()).handle(handled)
    died, again = tracing.spans
    assert published(bench) == pending(document)
    assert traces(published(bench)) == {header_of(died)}
    assert header_of(again) != header_of(died)


def pending(document: Document) -> list[Outgoing]:
    return [entry.record for entry in document.pending]
