"""Members retry and cancel deliveries over HTTP, on real engines; also at a replica that doesn't own the lane."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from relaydesk.tokens import Person, mint
from services.dispatch.app import kinds
from shared.contracts.outbound import DeliverMessage
from shared.runtime.component import Service
from shared.testing.adapter import Adapter, Reaction, Says, Seen
from shared.testing.eventually import eventually
from tests.integration.dispatch.installation import Installation, Talk, known
from tests.unit.runtime.asgi import Answer, call

SLOW = {"dispatch_backoff_s": 600.0, "dispatch_backoff_max_s": 600.0}
"""A first refusal puts a message off for minutes."""


@pytest_asyncio.fixture(scope="module")
async def life(installation: Installation) -> AsyncIterator[Service]:
    async with installation.dispatch(kinds, **SLOW) as service:
        yield service


@pytest_asyncio.fixture
async def channel(life: Service, channel: str) -> str:
    await known(life, channel)
    return channel


class Stumbling:
    """An adapter that answers 503 to messages with this text until `well`."""

    def __init__(self, text: str) -> None:
        self.well = False
        self._text = text

    def __call__(self, seen: Seen) -> Reaction:
        return Says(503) if seen.text == self._text and not self.well else Says()


async def ask(
    installation: Installation, service: Service, record: DeliverMessage, verb: str, workspace: str = "acme"
) -> Answer:
    token = mint(installation.secrets.jwt_private, Person("grace", "Grace Hopper", "agent", workspace))
    assert service.http is not None
    path = f"/v1/deliveries/{record.message_id}/{verb}"
    return await call(service.http, "POST", path, b"", {"authorization": f"Bearer {token}"})


async def put_off(installation: Installation, record: DeliverMessage) -> dict[str, Any]:
    async def state() -> dict[str, Any] | None:
        found = await installation.state(record)
        return found if found.get("attempt") == 1 and found["state"] == "waiting" else None

    return await eventually(state, "a first attempt came to nothing")


async def test_a_retry_is_tried_at_once(
    installation: Installation, life: Service, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = stumbling = Stumbling("first")
    (first,) = await talk.send(text="first")
    await put_off(installation, first)
    stumbling.well = True
    answer = await ask(installation, life, first, "retry")
    assert (answer.status, answer.json["state"], answer.json["attempt"]) == (200, "waiting", 1)
    (report,) = await installation.reported([first])
    assert (report.status, report.attempt) == ("sent", 2)
    again = await ask(installation, life, first, "retry")
    assert (again.status, again.json["code"]) == (409, "DELIVERY_ENDED")
    assert len(adapter.attempts(first.message_id)) == 2


async def test_a_cancel_ends_it_and_the_next_message_goes_at_once(
    installation: Installation, life: Service, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = Stumbling("first")
    (first,) = await talk.send(text="first")
    (second,) = await talk.send(text="second")
    await put_off(installation, first)
    answer = await ask(installation, life, first, "cancel")
    assert (answer.status, answer.json["state"], answer.json["error"]) == (200, "failed", "CANCELLED")
    told = await installation.reported([first, second])
    assert [(report.status, report.error) for report in told] == [("failed", "CANCELLED"), ("sent", None)]
    assert (await ask(installation, life, first, "cancel")).json == answer.json
    assert len(adapter.attempts(first.message_id)) == 1


async def test_a_message_behind_the_head_is_cancelled_in_its_place(
    installation: Installation, life: Service, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = stumbling = Stumbling("first")
    first, second, third = [(await talk.send(text=text))[0] for text in ("first", "second", "third")]
    await put_off(installation, first)
    await eventually(lambda: installation.state(third), "all are there")
    assert (await ask(installation, life, second, "cancel")).status == 200
    stumbling.well = True
    assert (await ask(installation, life, first, "retry")).status == 200
    await installation.reported([first, second, third])
    assert adapter.ids() == [first.message_id, third.message_id]


async def test_another_workspace_finds_nothing(
    installation: Installation, life: Service, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = Stumbling("first")
    (first,) = await talk.send(text="first")
    before = await put_off(installation, first)
    for verb in ("retry", "cancel"):
        assert (await ask(installation, life, first, verb, "globex")).status == 404
    assert await installation.state(first) == before


async def test_a_bots_message_is_not_revived_after_a_takeover(
    installation: Installation, life: Service, adapter: Adapter, talk: Talk
) -> None:
    adapter.behaviour = stumbling = Stumbling("bot")
    (said,) = await talk.send(epoch=0, text="bot")
    await put_off(installation, said)
    await talk.fence(1)
    stumbling.well = True
    retried = await ask(installation, life, said, "retry")
    (report,) = await installation.reported([said])
    assert (report.status, report.error) == ("failed", "BOT_SILENCED")
    assert retried.status in (200, 409), "409 where the fence was quicker"
    assert (await ask(installation, life, said, "retry")).json["code"] == "DELIVERY_ENDED"
    assert len(adapter.attempts(said.message_id)) == 1


async def test_of_a_cancel_and_an_attempt_at_the_same_moment_exactly_one_wins(
    installation: Installation, life: Service, adapter: Adapter, channel: str
) -> None:
    adapter.behaviour = stumbling = Stumbling("first")
    talks = [Talk(installation, channel) for _ in range(30)]
    firsts = [(await talk.send(text="first"))[0] for talk in talks]
    for first in firsts:
        await put_off(installation, first)
    stumbling.well = True

    async def race(first: DeliverMessage, lead_s: float) -> Answer:
        assert (await ask(installation, life, first, "retry")).status == 200
        await asyncio.sleep(lead_s)
        return await ask(installation, life, first, "cancel")

    answers = await asyncio.gather(*(race(first, number * 0.001) for number, first in enumerate(firsts)))
    told = await installation.reported(firsts)
    for first, answer, report in zip(firsts, answers, told, strict=True):
        arrived = len(adapter.attempts(first.message_id)) == 2
        assert (answer.status == 200, report.error == "CANCELLED", report.status == "sent") == (
            not arrived,
            not arrived,
            arrived,
        )


async def test_the_owner_notices_what_another_replica_was_asked(
    own_installation: Installation, adapter: Adapter
) -> None:
    installation = own_installation
    adapter.behaviour = stumbling = Stumbling("first")
    channel = await installation.channel(adapter.url)
    async with installation.dispatch(kinds, **SLOW, instance="1") as owner:
        talks = [Talk(installation, channel) for _ in range(2)]
        firsts = [(await talk.send(text="first"))[0] for talk in talks]
        (behind,) = await talks[1].send(text="second")
        for first in firsts:
            await put_off(installation, first)
        assert owner.http is not None
        async with installation.onlooker(**SLOW, instance="2") as elsewhere:
            stumbling.well = True
            assert (await ask(installation, elsewhere, firsts[0], "retry")).status == 200
            assert (await ask(installation, elsewhere, firsts[1], "cancel")).status == 200
            told = await installation.reported([*firsts, behind])
    assert [(report.status, report.error) for report in told] == [
        ("sent", None),
        ("failed", "CANCELLED"),
        ("sent", None),
    ]
