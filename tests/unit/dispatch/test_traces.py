"""An attempt goes on with the trace of the record that asked for it, and so does what is told of it."""

from dataclasses import replace

import pytest

from services.dispatch.bots.intake import RequestIntake
from services.dispatch.handlers import OutboundIntake
from shared.contracts.outbound import DeliverMessage
from shared.contracts.topics import BOT_REQUESTS, CHANNEL_OUTBOUND
from shared.contracts.wire import encode
from shared.runtime.metrics import Metrics
from shared.runtime.outbound_http import Bounds, NotBegun, OutboundHttp
from shared.runtime.outbound_url import OutboundPolicy
from shared.runtime.records import Record
from shared.runtime.tracing import TRACEPARENT, within
from shared.testing.adapter import Adapter
from shared.testing.recorded_traces import RecordedTraces, header_of, parent_of
from tests.unit.dispatch.builders import SteppingClock, delivery, message, request
from tests.unit.dispatch.memory import MemoryDeliveries, MemoryErasures, MemoryRequests
from tests.unit.dispatch.office import Office
from tests.unit.dispatch.test_bots import Booth, FakeBot

HEADER = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PARENT = "b7ad6b7169203331"


def outbound(record: DeliverMessage, trace: bytes | None) -> Record:
    return Record(CHANNEL_OUTBOUND, 3, 0, b"acme:c", encode(record), {}, 0, trace)


async def test_the_trace_of_a_record_is_kept_with_its_delivery() -> None:
    store = MemoryDeliveries()
    intake = OutboundIntake(store, MemoryErasures(), SteppingClock(), Metrics())
    await intake.add([outbound(message(1), HEADER), outbound(message(2), None)])
    assert [row.trace for row in store.rows.values()] == [HEADER, None]


async def test_the_trace_of_a_record_is_kept_with_its_question() -> None:
    store, asked = MemoryRequests(), request()
    record = Record(BOT_REQUESTS, 3, 0, b"acme:c", encode(asked.record), {}, 0, HEADER)
    await RequestIntake(store, MemoryErasures(), SteppingClock(), Metrics()).add([record])
    assert [kept.trace for kept, _ in store.rows.values()] == [HEADER]


async def test_an_attempt_and_its_report_belong_to_the_trace_and_others_to_none() -> None:
    office = Office()
    async with RecordedTraces() as tracing:
        office.tracing = tracing
        await office.store.add([delivery(message(1), trace=HEADER), delivery(message(2))], {})
        await office.life()
    [attempt] = tracing.spans
    assert (attempt.name, parent_of(attempt)) == ("deliver webhook", PARENT)
    assert attempt.attributes == {
        "relaydesk.workspace": "acme",
        "relaydesk.conversation_id": message().conversation_id,
        "relaydesk.message_id": message(1).message_id,
        "relaydesk.attempt": 1,
        "relaydesk.outcome": "sent",
    }
    assert [dict(told.headers).get(TRACEPARENT) for told in office.reports.published] == [HEADER, None]


async def test_a_question_to_a_bot_and_its_answer_belong_to_the_trace() -> None:
    async with RecordedTraces() as tracing:
        booth = Booth(FakeBot(), tracing=tracing)
        await booth.ask(replace(request(3), trace=HEADER), request(4))
    assert [(span.name, parent_of(span)) for span in tracing.spans] == [("ask bot", PARENT)]
    assert [dict(told.headers).get(TRACEPARENT) for told in booth.reports.published] == [HEADER, None]


async def test_a_post_within_a_span_says_so_to_whom_it_goes_and_any_other_says_nothing() -> None:
    http, bounds = OutboundHttp(OutboundPolicy(allow_private=True)), Bounds()
    await http.start()
    async with RecordedTraces() as tracing, Adapter() as adapter:
        await http.post(adapter.url, {}, b"{}", bounds)
        span = tracing.joined(HEADER, "deliver webhook", "internal", {})
        assert span is not None
        with within(span):
            await http.post(adapter.url + "?token=secret", {}, b"{}", bounds)
            with pytest.raises(NotBegun):
                await http.post("http://127.0.0.1:1/?token=secret", {}, b"{}", bounds)
        sent = [seen.headers.get(TRACEPARENT) for seen in adapter.seen]
    await http.stop()
    went, refused, deliver = tracing.spans
    assert sent == [None, header_of(went).decode()]
    assert (went.attributes or {})["http.response.status_code"] == 200
    assert (refused.attributes or {})["error.type"] == "NotBegun"
    assert [parent_of(one) for one in (went, refused)] == [header_of(deliver).split(b"-")[2].decode()] * 2
    assert "secret" not in went.to_json() + refused.to_json()
