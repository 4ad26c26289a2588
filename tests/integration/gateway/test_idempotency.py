"""Idempotency-Key: one effect and one answer however often, wherever and whenever a request is repeated (DESIGN 7)."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from services.gateway import commanding
from services.gateway.bodies import ReplyBody
from services.gateway.commanding import Asked, Commander, Stamp, digest_of
from services.gateway.outcomes import Outcomes
from services.gateway.store.commands import CommandStore
from shared.contracts import topics
from shared.contracts.commands import Command, SendReply
from shared.contracts.ids import command_id, document_key
from shared.runtime.auth import Principal
from shared.runtime.clock import SystemClock
from shared.runtime.faults import Transient
from shared.runtime.metrics import Metrics
from shared.runtime.outbox import Outbox
from shared.runtime.records import Outgoing
from shared.testing.api import Answer, Api
from shared.testing.eventually import eventually
from tests.integration.gateway.installation import Installation, Running

AS_SHIPPED_S = commanding.WAIT_S


def test_an_outcome_is_waited_for_as_long_as_the_contract_says() -> None:
    assert AS_SHIPPED_S == 5


def message_path(conversation: str) -> str:
    return f"/v1/conversations/{conversation}/messages"


@asynccontextmanager
async def routing_stopped(installation: Installation) -> AsyncIterator[None]:
    await installation.stop_routing()
    try:
        yield
    finally:
        if installation.routing is None:
            await installation.start_routing()


async def test_many_at_once_with_one_key_are_one_message(
    installation: Installation, agent: Api, replica: Running, second: Running, workspace: str, conversation: str
) -> None:
    elsewhere = await installation.member(second.base, "grace", workspace)
    key = uuid.uuid4().hex
    replies = [api.reply(conversation, "once", key) for api in (agent, elsewhere) for _ in range(8)]
    answers = await asyncio.gather(*replies)
    assert {answer.status for answer in answers} == {201}, answers
    assert len({answer.body["id"] for answer in answers}) == 1
    assert (await agent.reply(conversation, "once", key)).body["id"] == answers[0].body["id"]
    assert len(await installation.events(workspace, "message.sent")) == 1


async def test_a_key_with_another_request_is_refused(agent: Api, conversation: str) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    assert (await agent.call("POST", message_path(conversation), {"text": "one"}, key)).status == 201
    for path, body in (
        (message_path(conversation), {"text": "two"}),
        (message_path(conversation), {"text": "one", "force": True}),
        (f"/v1/conversations/{conversation}/notes", {"text": "one"}),
        (f"/v1/conversations/{conversation}/close", {}),
    ):
        answer = await agent.call("POST", path, body, key)
        assert (answer.status, answer.body["code"]) == (422, "KEY_REUSED")


async def test_the_same_meaning_in_another_order_is_the_same_request(agent: Api, conversation: str) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    bodies = (b'{"text":"one","last_seen_seq":3}', b' {"last_seen_seq" : 3, "text": "\\u006fne"}')
    first, again = [await agent.call("POST", message_path(conversation), body, key) for body in bodies]
    assert (first.status, again.status) == (201, 201)
    assert first.body["id"] == again.body["id"]


async def test_a_key_is_its_members_own(
    installation: Installation, agent: Api, other: Api, stranger: Api, workspace: str, conversation: str
) -> None:
    key = uuid.uuid4().hex
    one, two = await agent.reply(conversation, "mine", key), await other.reply(conversation, "yours", key)
    assert (one.status, two.status) == (201, 201)
    assert one.body["id"] != two.body["id"]


async def test_a_refusal_by_the_decider_is_an_outcome_and_one_before_is_not_kept(
    installation: Installation, agent: Api, owner: Api, workspace: str, conversation: str
) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    path = f"/v1/conversations/{conversation}"
    for _ in range(2):
        answer = await agent.call("POST", f"{path}/bot", {"enabled": True}, key)
        assert (answer.status, answer.body["code"]) == (409, "NO_BOT")
    fresh = {"Idempotency-Key": uuid.uuid4().hex}
    assert (await agent.call("POST", f"{path}/assignment", {"assignee": "newcomer"}, fresh)).status == 422
    await owner.ok("PUT", "/v1/members/newcomer", {"name": "New Comer"})
    assert (await agent.call("POST", f"{path}/assignment", {"assignee": "newcomer"}, fresh)).status == 200


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_an_impossible_key_is_refused(agent: Api, conversation: str, key: str) -> None:
    answer = await agent.call("POST", message_path(conversation), {"text": "x"}, {"Idempotency-Key": key})
    assert (answer.status, answer.body["code"]) == (422, "INVALID")


async def test_the_longest_key_is_a_key(agent: Api, conversation: str) -> None:
    for _ in range(2):
        assert (await agent.reply(conversation, "x", "k" * 255)).status == 201


async def test_without_a_key_each_request_is_its_own(agent: Api, conversation: str) -> None:
    answers = [await agent.call("POST", message_path(conversation), {"text": "again"}) for _ in range(2)]
    assert len({answer.body["id"] for answer in answers}) == 2


async def test_an_outcome_that_takes_long_is_202_and_found_later(
    installation: Installation, agent: Api, workspace: str, conversation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = uuid.uuid4().hex
    async with routing_stopped(installation):
        with monkeypatch.context() as patch:
            patch.setattr(commanding, "WAIT_S", 0.5)
            begun = time.monotonic()
            answer = await agent.reply(conversation, "later", key)
        assert answer.status == 202
        assert time.monotonic() - begun >= 0.5
        where = answer.headers["location"]
        assert await agent.ok("GET", where) == {"id": where.rsplit("/", 1)[1], "status": "pending"}
        retry = asyncio.create_task(agent.reply(conversation, "later", key))
        await asyncio.sleep(0)
        await installation.start_routing()
        assert (await retry).status == 201

    async def accepted() -> Answer | None:
        answer = await agent.call("GET", where)
        return answer if answer.body["status"] == "accepted" else None

    assert (await eventually(accepted, "the outcome")).body["result"]["text"] == "later"
    final = await agent.reply(conversation, "later", key)
    assert final.status == 201
    assert len(await installation.events(workspace, "message.sent")) == 1


class Deaf:
    """A broker that is not there."""

    async def publish(self, records: object) -> None:
        raise Transient("nobody listens")


class Died(BaseException):
    """The process ends: nobody catches this."""


class Dying:
    async def publish(self, records: object) -> None:
        raise Died


async def test_what_a_crash_left_between_write_and_produce_is_swept(
    installation: Installation, agent: Api, replica: Running, workspace: str, conversation: str
) -> None:
    """And a client that comes back meanwhile with the same key gets the same message."""
    ident = await _abandoned(installation, workspace, conversation)
    row = await installation.db["commands"].find_one({"_id": ident})
    assert row is not None and row["status"] == "pending" and len(row["pending"]) == 1
    outbox = Outbox(installation.mongo.db, installation.producer, ["commands"], Metrics(), _Later())
    assert await outbox.sweep() >= 1

    async def decided() -> bool:
        row = await installation.db["commands"].find_one({"_id": ident})
        return row is not None and row["status"] == "accepted"

    await eventually(decided, "the swept command's outcome")
    assert len(await installation.events(workspace, "message.sent")) == 1


async def test_a_client_that_comes_back_after_a_crash_is_served_at_once(
    installation: Installation, agent: Api, workspace: str, conversation: str
) -> None:
    key = uuid.uuid4().hex
    await _abandoned(installation, workspace, conversation, key)
    answer = await agent.reply(conversation, "survives", key)
    assert (answer.status, answer.body["text"]) == (201, "survives")
    assert len(await installation.events(workspace, "message.sent")) == 1


async def test_producing_a_decided_command_again_changes_nothing(
    installation: Installation, agent: Api, workspace: str, conversation: str
) -> None:
    """A send that timed out may arrive later: after its copy was decided."""
    key = uuid.uuid4().hex
    first = await agent.reply(conversation, "once", key)
    key_of_lane = document_key(workspace, conversation)
    sent = [r for r in await installation.read(topics.CONVERSATION_COMMANDS) if r.key == key_of_lane.encode()]
    copies = [Outgoing(r.topic, key_of_lane, r.value, tuple(r.headers.items())) for r in sent]
    await installation.producer.publish(copies)

    async def repeated() -> bool:
        return len(await installation.events(workspace, "command.repeated")) == 1

    await eventually(repeated, "command.repeated")
    assert (await agent.reply(conversation, "once", key)).body == first.body
    assert len(await installation.events(workspace, "message.sent")) == 1


async def test_a_refused_publish_is_503_and_the_same_key_goes_on(
    installation: Installation, agent: Api, workspace: str, conversation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = uuid.uuid4().hex
    with monkeypatch.context() as patch:
        patch.setattr("shared.runtime.producer.Producer.publish", Deaf.publish)
        answer = await agent.reply(conversation, "through", key)
        assert (answer.status, answer.body["code"]) == (503, "UNAVAILABLE")
    answer = await agent.reply(conversation, "through", key)
    assert (answer.status, answer.body["text"]) == (201, "through")
    assert len(await installation.events(workspace, "message.sent")) == 1


async def test_a_rejection_in_the_dead_letters_is_told_as_a_fault_of_ours(
    installation: Installation, agent: Api, workspace: str, conversation: str
) -> None:
    """A command that routing can't read still gets an outcome."""
    store = CommandStore(installation.mongo)
    ident = await _abandoned(installation, workspace, conversation)
    state = await store.find(ident, workspace)
    assert state is not None and state.record is not None and state.record.value is not None
    broken = state.record.value.replace(b'"text":"survives"', b'"text":7')
    await installation.producer.publish([Outgoing(state.record.topic, state.record.key, broken, state.record.headers)])

    async def rejected() -> bool:
        command: dict[str, object] = await agent.ok("GET", f"/v1/commands/{ident}")
        return command["status"] == "rejected"

    await eventually(rejected, "a rejection")
    problem = (await agent.ok("GET", f"/v1/commands/{ident}"))["problem"]
    assert (problem["code"], problem["status"]) == ("INTERNAL", 500)


async def _abandoned(installation: Installation, workspace: str, conversation: str, key: str | None = None) -> str:
    """The gateway's process ends after the write of a reply's document; -> the command's id."""
    clock, store, key = SystemClock(), CommandStore(installation.mongo), key or uuid.uuid4().hex
    member = Principal(workspace, "grace", "agent", "Grace", clock.now() + timedelta(hours=1))
    body = ReplyBody(text="survives")

    async def build(stamp: Stamp) -> Command:
        return SendReply(**stamp.fields(), text=body.text)

    digest = digest_of("POST", message_path(conversation), body.model_dump(mode="json", exclude_unset=True))
    commander = Commander(store, Outcomes(store, clock), Dying(), clock)
    with pytest.raises(Died):
        await commander.run(Asked(member, conversation, key, digest, build))
    return command_id(workspace, "grace", key)


class _Later(SystemClock):
    """A minute from now: what is young now has settled."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=1)
