"""What docs/operations.md says of lost engines, rehearsed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from pymongo import MongoClient

from shared.contracts.topics import BOT_REQUESTS
from shared.testing.adapter import Adapter, Reaction, Says, Seen
from shared.testing.api import Api, Channel, Patient, insist, someone
from shared.testing.databases import keepers_of
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, assert_whole, kind
from shared.testing.system import System, free_port_base, launch, stop, wait_ready

pytestmark = pytest.mark.timeout(1200)


@dataclass
class Place:
    """An installation that is stopped and started again on its ports."""

    folder: Path
    port_base: int

    @contextmanager
    def running(self) -> Iterator[System]:
        system = launch(self.folder, "--split", port_base=self.port_base)
        try:
            wait_ready(system)
            yield system
        finally:
            stop(system)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, free_port_base())


@dataclass
class Desk:
    """An agent and a customer of the demo channel, on the stream."""

    owner: Api
    agent: Api
    channel: Channel
    stream: Follower
    adapter: Adapter

    async def exchange(self, customer: str, text: str) -> str:
        """The customer writes, the agent answers, the answer arrives at the adapter; -> the conversation."""
        known = len(self.stream.events)
        await self.channel.say(customer, text)

        def seen() -> Any:
            new = self.stream.events[known:]
            return next((e for e in new if e["data"].get("message", {}).get("text") == text), None)

        event = await eventually(seen, f"{text!r} is on the stream")
        conversation = str(event["subject"])
        await insist(lambda: self.agent.reply(conversation, f"re: {text}", f"key-{text}"), 201)
        await eventually(lambda: f"re: {text}" in self.adapter.texts(conversation), "it is delivered")
        return conversation

    async def texts(self, conversation: str) -> list[str]:
        thread = await self.agent.thread(conversation)
        assert [event["seq"] for event in thread] == list(range(1, len(thread) + 1))
        return [event["data"]["message"]["text"] for event in thread if "message" in event["data"]]


@asynccontextmanager
async def desk(system: System, adapter: Adapter, cursor: str | None = None) -> AsyncIterator[Desk]:
    info = system.info
    async with (
        Patient(info["api"], info["tokens"]["owner"]) as owner,
        Patient(info["api"], info["tokens"]["agent"]) as agent,
    ):
        channel = Channel(owner, info["channel"]["id"], info["channel"]["secret"])
        cursor = cursor or (await agent.ok("GET", "/v1/conversations?limit=1"))["stream_cursor"]
        async with Follower(agent, info["stream"], cursor) as stream:
            yield Desk(owner, agent, channel, stream, adapter)
            assert_whole(stream.events)


async def attach(system: System, adapter: Adapter) -> None:
    """Once: what the channel's settings say must outlive what is lost, not be said again."""
    info = system.info
    async with Patient(info["api"], info["tokens"]["owner"]) as owner:
        settings = {"settings": {"outbound_url": adapter.url}}
        await owner.ok("PATCH", f"/v1/channels/{info['channel']['id']}", settings)


async def test_after_the_loss_of_kafka_threads_are_there_and_go_on(place: Place) -> None:
    customer = someone()
    async with Adapter() as adapter:
        with place.running() as system:
            await attach(system, adapter)
            async with desk(system, adapter) as before:
                conversation = await before.exchange(customer, "first")
                old_cursor = before.stream.cursor
        shutil.rmtree(place.folder / "data" / "kafka")

        with place.running() as system:
            async with desk(system, adapter, old_cursor) as after:
                reason = await eventually(lambda: after.stream.frames[1], "the frame behind the welcome")
                assert (reason["type"], reason["reason"]) == ("snapshot_required", "recreated")
                assert await after.texts(conversation) == ["first", "re: first"]
                assert await after.exchange(customer, "second") == conversation
                assert await after.texts(conversation) == ["first", "re: first", "second", "re: second"]


@dataclass
class Moment:
    """What was there before the loss. `cursor`: of a client of the stream that saw only `events`."""

    threads: dict[str, list[dict[str, Any]]]
    cursor: str
    events: list[dict[str, Any]]


class Hesitant:
    """An adapter that is handed one message and doesn't say that it has it, until it is `calm`."""

    def __init__(self, text: str) -> None:
        self.text, self.calm = text, False

    def __call__(self, seen: Seen) -> Reaction:
        return Says() if self.calm or seen.text != self.text else Says(503)


def beeps(seen: Seen) -> Reaction:
    return Says(body={"replies": [{"text": f"beep {seen.body['message']['text']}"}]})


def environment_of(place: Place) -> dict[str, str]:
    """The engines that run alone."""
    found = json.loads((place.folder / "data" / "engines.json").read_text())
    return {name: value for name, value in found.items() if name.startswith("RELAYDESK_")}


def relaydesk(settings: Mapping[str, str], *words: str) -> str:
    """The command; what it prints. AssertionError where it fails."""
    call = [sys.executable, "-m", "relaydesk", *words]
    done = subprocess.run(call, env={**os.environ, **settings}, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def engines_alone(place: Place) -> Iterator[None]:
    options = ["--data", str(place.folder / "data")]
    relaydesk({}, "engines", "up", "--detach", *options, "--port-base", str(place.port_base))
    try:
        yield
    finally:
        relaydesk({}, "engines", "down", *options)


async def with_bot(owner: Api, adapter: Adapter, bot: Adapter) -> Channel:
    made = await owner.ok(
        "POST",
        "/v1/channels",
        {
            "kind": "webhook",
            "name": "made after the backup",
            "settings": {"outbound_url": adapter.url},
            "bot": {"kind": "webhook", "settings": {"url": bot.url}},
        },
    )
    return Channel(owner, made["id"], made["secret"])


UNSURE = "are you there?"
SHORT_SESSION_MS = 6000
"""The shortest that a broker allows."""
ERASED = "rhubarb0815"
"""Of whom the backup knows, and who was erased since."""


async def live_on(desk: Desk, channel: Channel, customers: Sequence[str]) -> dict[str, str]:
    """What the backup doesn't have: of an old customer, a new one, and one with a bot. -> their conversations"""
    agent, (old, new, asks) = desk.agent, customers
    first = await desk.exchange(old, "second")
    await agent.ok("POST", f"/v1/conversations/{first}/notes", {"text": "a note"})
    me = (await agent.ok("GET", "/v1/me"))["id"]
    for assignee in (None, me):
        await agent.ok("POST", f"/v1/conversations/{first}/assignment", {"assignee": assignee})
    second = await desk.exchange(new, "hello")
    sent = next(event for event in await agent.thread(second) if kind(event) == "message.sent")["data"]["message"]["id"]
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    receipt = {"type": "receipt", "message_id": sent, "status": "delivered", "occurred_at": now}
    assert (await desk.channel.post([receipt])).status == 202
    await agent.ok("POST", f"/v1/conversations/{second}/close")
    await channel.say(asks, "robot?")
    third = await desk.stream.conversation_of(asks)
    await eventually(lambda: "beep robot?" in desk.adapter.texts(third), "the bot answers")
    assert (await agent.reply(third, "I take over", disable_bot=True)).status == 201
    assert (await agent.reply(third, UNSURE)).status == 201
    await eventually(lambda: UNSURE in desk.adapter.texts(third), "it is handed over")
    await eventually(lambda: "delivered" in desk.stream.statuses(second), "the receipt is there")
    return {"old": first, "new": second, "asks": third}


async def threads_of(agent: Api, conversations: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """With the statuses of messages, but for the one whose adapter will say that it has it."""
    threads = {conversation: await agent.thread(conversation) for conversation in conversations}
    for event in (event for thread in threads.values() for event in thread if text_of(event) == UNSURE):
        del event["data"]["message"]["status"]
    return threads


async def nothing_on_its_way(agent: Api, conversations: Iterable[str]) -> bool:
    """But the message whose adapter hesitates."""
    threads = await threads_of(agent, conversations)
    messages = [event["data"].get("message", {}) for thread in threads.values() for event in thread]
    return all(message.get("status") != "queued" for message in messages)


def text_of(event: dict[str, Any]) -> str | None:
    message = event["data"].get("message")
    return message["text"] if message else None


async def has_text(desk: Desk, conversation: str, text: str) -> bool:
    return text in [text_of(event) for event in await desk.agent.thread(conversation)]


async def unsure_is_sent(desk: Desk, conversation: str) -> bool:
    [event] = [event for event in await desk.agent.thread(conversation) if text_of(event) == UNSURE]
    return bool(event["data"]["message"]["status"] == "sent")


async def decided_as_before(agent: Api, before: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether all that was there is there again, as it was but for what came since."""
    after = await threads_of(agent, before)
    return all(after[one][: len(thread)] == thread for one, thread in before.items())


def assert_ids_keep_their_content(adapter: Adapter) -> None:
    contents: dict[str, set[str]] = {}
    for seen in adapter.seen:
        contents.setdefault(seen.id, set()).add(seen.text)
    assert all(len(texts) == 1 for texts in contents.values()), contents
    shown = Counter(next(iter(texts)) for texts in contents.values())
    assert max(shown.values()) == 1, f"shown twice: {shown}"


def assert_counters_equal_a_rebuild(place: Place, system: System) -> None:
    engines = system.info["engines"]
    settings = {"RELAYDESK_KAFKA": engines["kafka"], "RELAYDESK_MONGO": engines["mongo"]}
    relaydesk(settings, "projection", "rebuild", "check")
    with MongoClient[dict[str, Any]](engines["mongo"]) as client:
        kept, made = (
            {row["_id"]: {k: v for k, v in row.items() if v} for row in client[name]["counters"].find()}
            for name in ("relaydesk_gateway", "relaydesk_gateway_check")
        )
    assert kept == made


async def test_after_the_loss_of_mongo_everything_since_the_backup_comes_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYDESK_KAFKA_LEAVE_ON_STOP", "true")
    customers, hesitant = (someone(), someone(), someone()), Hesitant(UNSURE)
    mongo, backup = place.folder / "data" / "mongo", place.folder / "backup"
    async with Adapter(behaviour=hesitant) as adapter, Adapter(behaviour=beeps) as bot:
        with place.running() as system:
            await attach(system, adapter)
            async with desk(system, adapter) as backed_up:
                await backed_up.exchange(customers[0], "first")
                forgotten = await backed_up.exchange(ERASED, f"I am {ERASED}")
        shutil.copytree(mongo, backup)

        with place.running() as system:
            async with desk(system, adapter) as lost:
                cursor = lost.stream.cursor
                robotic = await with_bot(lost.owner, adapter, bot)
                known = await live_on(lost, robotic, customers)
                await eventually(lambda: nothing_on_its_way(lost.agent, known.values()), "all channels have answered")
                before = Moment(await threads_of(lost.agent, known.values()), str(cursor), list(lost.stream.events))
                await erase(lost, forgotten)
                routing = await restarted_and_frozen(system)
                await lost.channel.say(customers[1], "undecided")
            system.process.terminate()
            await eventually(lambda: "stopping the services" in system.log_tail(), "nobody starts it again")
            os.kill(routing, signal.SIGKILL)
        shutil.rmtree(mongo)
        shutil.copytree(backup, mongo)
        hesitant.calm = True

        with engines_alone(place):
            await died(environment_of(place)["RELAYDESK_KAFKA"], BOT_REQUESTS, "dispatch-bots")
            said = relaydesk(environment_of(place), "restore")
        assert "waiting until nobody is left in the groups dispatch-bots (1)" in said, said
        assert "all groups are placed" in said, said
        (place.folder / "restore.txt").write_text(said)
        with place.running() as system:
            async with desk(system, adapter, before.cursor) as after:
                await assert_all_is_back(after, before, known)
                await assert_stays_erased(after, forgotten, system.info["engines"]["mongo"])
                await assert_all_goes_on(after, robotic.seen_by(after.owner), known, customers)
            assert_ids_keep_their_content(adapter)
            assert_counters_equal_a_rebuild(place, system)
        assert bot.ids() == list(dict.fromkeys(seen.id for seen in bot.seen)) and len(bot.ids()) == 1


async def restarted_and_frozen(system: System) -> int:
    """Routing, before it is anybody's member: it decides nothing, and no group waits until its session is over."""
    pid = system.pid("routing")
    os.kill(pid, signal.SIGTERM)
    new = await eventually(lambda: found if (found := system.pid("routing")) != pid else None, "a new routing")
    os.kill(new, signal.SIGSTOP)
    return new


async def died(kafka: str, topic: str, group: str) -> None:
    """A member that was killed: it belongs to its group until its session is over."""
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka,
        group_id=group,
        group_instance_id="died",
        session_timeout_ms=SHORT_SESSION_MS,
        enable_auto_commit=False,
    ) as member:
        await eventually(member.assignment, "it is a member")


async def erase(desk: Desk, conversation: str) -> None:
    contact = (await desk.agent.ok("GET", f"/v1/conversations/{conversation}"))["contact"]["id"]
    assert (await desk.owner.call("DELETE", f"/v1/contacts/{contact}")).status == 204


async def assert_stays_erased(desk: Desk, conversation: str, mongo: str) -> None:
    await eventually(lambda: not keepers_of(ERASED, mongo), "no word of them is in any database", timeout=90)
    await desk.agent.refused("GET", f"/v1/conversations/{conversation}", 404, "NOT_FOUND")


def numbered(events: Iterable[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(event["subject"], event["seq"]) for event in events if event.get("seq")]


async def assert_all_is_back(after: Desk, before: Moment, known: dict[str, str]) -> None:
    await eventually(lambda: decided_as_before(after.agent, before.threads), "the threads are as before", timeout=90)
    await eventually(lambda: has_text(after, known["new"], "undecided"), "what was accepted is decided")
    seen = numbered(before.events)
    await eventually(lambda: len(numbered(after.stream.events)) >= len(seen), "the stream, too, is back")
    assert numbered(after.stream.events)[: len(seen)] == seen, "a client that was away sees all of it once"
    await eventually(lambda: unsure_is_sent(after, known["asks"]), "it was handed over again", timeout=90)


async def assert_all_goes_on(after: Desk, robotic: Channel, known: dict[str, str], customers: Sequence[str]) -> None:
    [sent] = [e for e in await after.agent.thread(known["old"]) if text_of(e) == "re: second"]
    repeated = await insist(lambda: after.agent.reply(known["old"], "re: second", "key-second"), 201)
    assert repeated.body["id"] == sent["data"]["message"]["id"], "the same key is the same reply"
    await robotic.say(customers[2], "one more")
    await eventually(lambda: has_text(after, known["asks"], "one more"), "the new channel is there")
    for customer, conversation in zip(customers[:2], (known["old"], known["new"]), strict=True):
        assert await after.exchange(customer, f"third of {customer}") == conversation
