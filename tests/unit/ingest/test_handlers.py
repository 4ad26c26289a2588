from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.handlers import Doorkeeper, Intake
from services.ingest.lookup import ChannelLookup
from shared.contracts import wire
from shared.contracts.inbound import MessageReceived
from shared.runtime.faults import Transient
from shared.runtime.limits import TokenBuckets
from shared.runtime.metrics import Metrics
from shared.runtime.problems import Problem
from shared.testing.kafka_twin import TwinBroker, TwinProducer
from tests.unit.ingest.doubles import CHANNEL, OLD_SECRET, Shelf, StandingClock, signed, unsealed
from tests.unit.ingest.samples import body, message

NAMESPACE = UUID(int=7)


class Door:
    """An Intake over a broker in memory."""

    def __init__(self, rate: float = 0.0) -> None:
        clock = StandingClock()
        self.broker = TwinBroker()
        lookup = ChannelLookup(Shelf(), unsealed, clock, keep_s=3.0)
        doorkeeper = Doorkeeper(lookup, TokenBuckets(rate, 1.0, clock), clock)
        self._intake = Intake(doorkeeper, TwinProducer(self.broker), NAMESPACE, clock, Metrics())

    async def take(self, raw: bytes, headers: dict[str, str] | None = None, channel: str = CHANNEL.id) -> list[str]:
        return await self._intake.take(channel, signed(raw) if headers is None else headers, raw)

    async def refusal(self, raw: bytes, headers: dict[str, str] | None = None, channel: str = CHANNEL.id) -> Problem:
        with pytest.raises(Problem) as caught:
            await self.take(raw, headers, channel)
        assert self.broker.records("channel.inbound") == []
        return caught.value


async def test_accepted_events_are_on_the_topic_under_their_conversations() -> None:
    door = Door()
    ids = await door.take(body(message(), message(id="m2")))
    stored = door.broker.records("channel.inbound")
    taken = [wire.decode_inbound(record.value or b"") for record in stored]
    assert [record.id for record in taken] == ids
    assert {record.key for record in stored} == {f"demo:{taken[0].conversation_id}".encode()}
    assert {record.headers["type"] for record in stored} == {b"MessageReceived"}
    assert isinstance(taken[0], MessageReceived) and taken[0].bot_kind == "webhook"


async def test_one_bad_event_keeps_all_out() -> None:
    problem = await Door().refusal(body(message(), message(id=None)))
    assert (problem.status, problem.code) == (400, "MALFORMED")
    assert [error["index"] for error in problem.extra["errors"]] == [1]
    assert "Event 1, id" in problem.detail


async def test_what_is_not_signed_with_a_valid_secret_stays_out() -> None:
    raw = body(message())
    problem = await Door().refusal(raw, signed(raw, OLD_SECRET))
    assert (problem.status, problem.code) == (401, "BAD_SIGNATURE")


async def test_an_unknown_channel_is_said_before_the_signature_is_looked_at() -> None:
    problem = await Door().refusal(b"", {}, channel="nowhere")
    assert problem.status == 404


async def test_too_many_bytes_stay_out() -> None:
    raw = b" " * (1024 * 1024 + 1)
    assert (await Door().refusal(raw)).status == 413


async def test_what_kafka_did_not_acknowledge_is_not_accepted() -> None:
    door = Door()
    door.broker.away = True
    with pytest.raises(Transient):
        await door.take(body(message()))


async def test_a_channel_above_its_rate_waits_as_long_as_it_is_told() -> None:
    door = Door(rate=0.5)
    await door.take(body(message()))
    with pytest.raises(Problem) as caught:
        await door.take(body(message(id="m2")))
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "2")
    assert len(door.broker.records("channel.inbound")) == 1


@given(raw=st.binary(max_size=200))
async def test_any_signed_bytes_are_refused_with_a_documented_4xx(raw: bytes) -> None:
    headers = signed(raw) if _is_text(raw) else signed(b"")
    problem = await Door().refusal(raw, headers)
    assert (problem.status, problem.code) == (400, "MALFORMED")


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
