"""The Idempotency-Key protocol step by step, without engines."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest

from services.gateway import commanding, outcomes
from services.gateway.commanding import Asked, Commander, Stamp, checked_key, digest_of
from services.gateway.outcomes import Outcomes
from services.gateway.store.commands import CommandStore
from shared.contracts.commands import Actor, Close, Command
from shared.contracts.ids import command_id
from shared.contracts.wire import decode_command
from shared.runtime.auth import Principal
from shared.runtime.clock import SystemClock
from shared.runtime.faults import Transient
from shared.runtime.problems import Problem
from tests.unit.gateway.doubles import Broker, Commands

CONVERSATION = "36865d94-dda1-53bd-b0bb-463852e73269"
GRACE = Principal("acme", "grace", "agent", "Grace", datetime(2030, 1, 1, tzinfo=UTC))


@dataclass
class Desk:
    commands: Commands = field(default_factory=Commands)
    broker: Broker = field(default_factory=Broker)
    built: int = 0

    def __post_init__(self) -> None:
        store = cast(CommandStore, self.commands)
        self.outcomes = Outcomes(store, SystemClock())
        self.commander = Commander(store, self.outcomes, self.broker, SystemClock())

    async def build(self, stamp: Stamp) -> Command:
        self.built += 1
        return Close(**stamp.fields())

    def asked(self, key: str | None = "k", digest: str = "d", who: Principal = GRACE) -> Asked:
        return Asked(who, CONVERSATION, key, digest, self.build)

    async def undecided(self, asked: Asked) -> "asyncio.Task[str]":
        """A request under way, its command produced."""

        async def run() -> str:
            return (await self.commander.run(asked)).status

        task = asyncio.create_task(run())
        async with asyncio.timeout(30):
            await self.broker.arrivals.get()
        return task

    def decide(self) -> None:
        [ident] = self.commands.kept
        self.commands.decide(ident)
        self.outcomes.decided([ident])


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commanding, "WAIT_S", 60)
    monkeypatch.setattr(commanding, "PATIENCE_S", 0.1)
    monkeypatch.setattr(outcomes, "FIRST_POLL_S", 0.02)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For requests whose outcome does not come."""
    monkeypatch.setattr(commanding, "WAIT_S", 0.2)


async def test_a_command_is_kept_before_it_is_produced(desk: Desk) -> None:
    desk.broker.up = False
    with pytest.raises(Transient):
        await desk.commander.run(desk.asked())
    [kept] = desk.commands.kept.values()
    assert kept.status == "pending" and kept.record is not None
    assert desk.broker.taken == []


async def test_an_unknown_result_is_mended_by_the_same_key(desk: Desk) -> None:
    desk.broker.up = False
    with pytest.raises(Transient):
        await desk.commander.run(desk.asked())
    desk.broker.up = True
    task = await desk.undecided(desk.asked())
    desk.decide()
    assert await task == "accepted"
    assert (desk.built, len(desk.broker.taken)) == (1, 1)


async def test_repeats_of_a_request_under_way_wait_and_produce_nothing(desk: Desk) -> None:
    first = await desk.undecided(desk.asked())
    repeats = [asyncio.create_task(desk.commander.run(desk.asked())) for _ in range(5)]
    await asyncio.sleep(1.5 * commanding.PATIENCE_S)  # as long as they would wait if it were not under way
    desk.decide()
    assert await first == "accepted"
    assert {(await repeat).status for repeat in repeats} == {"accepted"}
    assert (desk.built, len(desk.broker.taken)) == (1, 1)


async def test_a_decided_command_is_answered_without_producing(desk: Desk) -> None:
    task = await desk.undecided(desk.asked())
    desk.decide()
    await task
    assert (await desk.commander.run(desk.asked())).status == "accepted"
    assert len(desk.broker.taken) == 1


@pytest.mark.usefixtures("impatient")
async def test_an_undecided_one_is_produced_again_with_the_same_bytes(desk: Desk) -> None:
    task = await desk.undecided(desk.asked())
    assert await task == "pending"
    assert (await desk.commander.run(desk.asked())).status == "pending"
    assert len(desk.broker.taken) == 2
    assert desk.broker.taken[0] == desk.broker.taken[1]


async def test_another_request_under_the_key_is_refused_decided_or_not(desk: Desk) -> None:
    task = await desk.undecided(desk.asked())
    with pytest.raises(Problem) as reused:
        await desk.commander.run(desk.asked(digest="other"))
    desk.decide()
    await task
    with pytest.raises(Problem) as again:
        await desk.commander.run(desk.asked(digest="other"))
    assert {reused.value.code, again.value.code} == {"KEY_REUSED"}


@pytest.mark.usefixtures("impatient")
async def test_a_refusal_before_the_command_leaves_the_key_free(desk: Desk) -> None:
    async def refuse(stamp: Stamp) -> Command:
        raise Problem(422, "UNKNOWN_MEMBER", "…")

    with pytest.raises(Problem):
        await desk.commander.run(Asked(GRACE, CONVERSATION, "k", "d", refuse))
    assert desk.commands.kept == {}
    assert await (await desk.undecided(desk.asked(digest="other"))) == "pending"


async def test_a_repeat_is_not_checked_again(desk: Desk) -> None:
    task = await desk.undecided(desk.asked())
    desk.decide()
    await task

    async def refuse(stamp: Stamp) -> Command:
        raise Problem(422, "UNKNOWN_MEMBER", "the assignee has left meanwhile")

    assert (await desk.commander.run(Asked(GRACE, CONVERSATION, "k", "d", refuse))).status == "accepted"


@pytest.mark.usefixtures("impatient")
async def test_the_record_names_who_asks_and_what(desk: Desk) -> None:
    await (await desk.undecided(desk.asked()))
    [record] = desk.broker.taken
    command = decode_command(record.value or b"")
    assert (record.topic, record.key) == ("conversation.commands", f"acme:{CONVERSATION}")
    assert record.headers == (("type", b"Close"),)
    assert (command.actor.tag, command.actor.name) == ("agent:grace", "Grace")


async def test_a_command_of_nobodys_request_is_taken_once(desk: Desk) -> None:
    actor = Actor(kind="system", id=None, name=None)
    command = Close(**Stamp(command_id("acme", "", "x"), "acme", CONVERSATION, actor, datetime.now(UTC)).fields())
    for _ in range(3):
        await desk.commander.send(command)
    assert [decode_command(record.value or b"") for record in desk.broker.taken] == [command]


def test_a_digest_stands_for_method_path_and_meaning() -> None:
    one = digest_of("POST", "/a", {"x": 1, "y": [True, None]})
    assert one == digest_of("POST", "/a", {"y": [True, None], "x": 1})
    others = [("PUT", "/a", {"x": 1}), ("POST", "/b", {"x": 1}), ("POST", "/a", {"x": 2}), ("POST", "/a", {"x": "1"})]
    assert len({one, *(digest_of(*other) for other in others)}) == 5


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_its_length(key: str) -> None:
    with pytest.raises(Problem):
        checked_key(key)
    assert checked_key(None) is None
    assert checked_key("x" * 255) == "x" * 255


async def test_a_woken_waiter_asks_at_once_and_others_only_now_and_then(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "FIRST_POLL_S", 60)
    task = await desk.undecided(desk.asked())
    [ident] = desk.commands.kept
    asked = desk.commands.asked
    desk.outcomes.seen("somebody else's")
    await asyncio.sleep(0)
    assert desk.commands.asked == asked
    desk.commands.decide(ident)
    desk.outcomes.seen(ident)
    async with asyncio.timeout(30):
        assert await task == "accepted"
