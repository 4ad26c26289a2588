"""From a signed inbound message to the agent's stream and back to the adapter, as customers and agents see it."""

import asyncio
import uuid

from shared.testing.adapter import Adapter
from shared.testing.api import Answer, Api, Channel, someone
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, assert_whole, kind
from shared.testing.system import System


def members(system: System) -> dict[str, str]:
    found: dict[str, str] = system.info["members"]
    return found


async def test_a_customers_message_reaches_the_agent_and_the_answer_the_customer(
    system: System, agent: Api, channel: Channel, stream: Follower, adapter: Adapter
) -> None:
    who = someone()
    await channel.say(who, "Hello 👋 مرحبا", first_name="Ada", last_name="Lovelace", country="GB")
    conversation = await stream.conversation_of(who)
    await eventually(lambda: len(stream.of(conversation)) == 3, "three events")
    first = stream.of(conversation)
    assert [kind(e) for e in first] == ["contact.created", "conversation.opened", "message.received"]
    assert first[2]["data"]["message"]["text"] == "Hello 👋 مرحبا"

    answer = await agent.reply(conversation, "How can I help? 😊")

    assert answer.status == 201, answer.body
    await eventually(lambda: adapter.texts(conversation) == ["How can I help? 😊"], "the adapter has the answer")
    state = await agent.ok("GET", f"/v1/conversations/{conversation}")
    assert state["assignee"] == members(system)["agent"]
    assert state["contact"]["name"] == "Ada Lovelace"
    await eventually(lambda: stream.statuses(conversation) == ["sent"], "status sent")
    assert_whole(stream.events)


async def test_two_agents_replying_at_once_make_one_owner_and_both_answers_arrive_in_order(
    agent: Api, agent2: Api, channel: Channel, stream: Follower, adapter: Adapter
) -> None:
    who = someone()
    await channel.say(who, "anyone there?")
    conversation = await stream.conversation_of(who)

    answers = await asyncio.gather(*((agent, agent2)[n % 2].reply(conversation, f"answer {n}") for n in range(12)))

    assert {a.status for a in answers} == {201}
    await eventually(lambda: len(stream.of(conversation, "message.sent")) == 12, "12 sent")
    assert len(stream.of(conversation, "conversation.assigned")) == 1
    in_seq_order = [e["data"]["message"]["text"] for e in stream.of(conversation, "message.sent")]
    await eventually(lambda: adapter.texts(conversation) == in_seq_order, "all delivered in seq order")


async def test_one_idempotency_key_is_one_message_however_often_it_is_sent(
    agent: Api, channel: Channel, stream: Follower, adapter: Adapter
) -> None:
    who, key = someone(), uuid.uuid4().hex
    await channel.say(who, "hi")
    conversation = await stream.conversation_of(who)

    answers: list[Answer] = await asyncio.gather(*(agent.reply(conversation, "once", key) for _ in range(8)))
    again = await agent.reply(conversation, "once", key)
    other = await agent.reply(conversation, "something else", key)
    last = await agent.reply(conversation, "the end")

    assert {a.status for a in [*answers, again, last]} == {201}
    assert {a.body["id"] for a in answers} == {again.body["id"]}
    assert (other.status, other.body["code"]) == (422, "KEY_REUSED")
    await eventually(lambda: adapter.texts(conversation)[-1:] == ["the end"], "the last is delivered")
    assert adapter.texts(conversation) == ["once", "the end"]


async def test_a_stale_view_is_caught_unless_forced(
    agent: Api, agent2: Api, channel: Channel, stream: Follower
) -> None:
    who = someone()
    await channel.say(who, "hi")
    conversation = await stream.conversation_of(who)
    await eventually(lambda: stream.of(conversation, "message.received"), "received")
    seen = stream.of(conversation)[-1]["seq"]
    fresh = await agent.reply(conversation, "first", last_seen_seq=seen)
    stale = await agent2.reply(conversation, "second", last_seen_seq=seen)
    forced = await agent2.reply(conversation, "second", last_seen_seq=seen, force=True)
    assert (fresh.status, stale.status, forced.status) == (201, 409, 201)
    assert stale.body["code"] == "STALE_VIEW"
    assert stale.body["missed"] == [fresh.body["seq"]]


async def test_assignment_goes_to_known_members_and_a_conflict_is_told(
    system: System, agent: Api, owner: Api, channel: Channel, stream: Follower
) -> None:
    who, second = someone(), members(system)["agent2"]
    await channel.say(who, "hi")
    path = f"/v1/conversations/{await stream.conversation_of(who)}/assignment"
    assert (await owner.ok("POST", path, {"assignee": second}))["assignee"] == second
    await agent.refused("POST", path, 409, "CONFLICT", {"assignee": None, "expected_version": 1})
    await agent.refused("POST", path, 422, "UNKNOWN_MEMBER", {"assignee": "nobody"})
    assert (await agent.ok("POST", path, {"assignee": None}))["assignee"] is None


async def test_notes_stay_inside_and_a_customer_reopens_with_the_owner_kept(
    system: System, agent: Api, channel: Channel, stream: Follower, adapter: Adapter
) -> None:
    who = someone()
    await channel.say(who, "hi")
    conversation = await stream.conversation_of(who)
    path = f"/v1/conversations/{conversation}"
    await agent.reply(conversation, "hello")
    await agent.ok("POST", f"{path}/notes", {"text": "internal"})
    assert (await agent.ok("POST", f"{path}/close"))["status"] == "closed"
    await channel.say(who, "one more thing")
    await eventually(lambda: stream.of(conversation, "conversation.reopened"), "reopened")

    async def unread() -> int:
        return int((await agent.ok("GET", path))["unread"])

    await eventually(unread, "one unread")
    state = await agent.ok("GET", path)
    assert (state["status"], state["assignee"]) == ("open", members(system)["agent"])
    assert (await agent.ok("POST", f"{path}/read", {"up_to_seq": state["seq"]}))["unread"] == 0
    await eventually(lambda: adapter.texts(conversation) == ["hello"], "the reply alone is delivered")
    kinds = [kind(e) for e in await agent.thread(conversation)]
    assert kinds.count("note.added") == 1


async def test_receipts_only_raise_the_status(agent: Api, channel: Channel, stream: Follower, adapter: Adapter) -> None:
    who = someone()
    await channel.say(who, "hi")
    conversation = await stream.conversation_of(who)
    sent = (await agent.reply(conversation, "read me")).body
    await eventually(lambda: adapter.texts(conversation), "delivered")
    for status in ("read", "delivered", "sent"):
        receipt = {"type": "receipt", "message_id": sent["id"], "status": status, "occurred_at": "2026-01-01T00:00:00Z"}
        assert (await channel.post([receipt])).status == 202
    await channel.say(who, "marker")
    await eventually(lambda: len(stream.of(conversation, "message.received")) == 2, "all receipts were handled")

    async def status_in_thread() -> str:
        thread = await agent.thread(conversation)
        messages = (e["data"]["message"] for e in thread if "message" in e["data"])
        return next(str(m["status"]) for m in messages if m["id"] == sent["id"])

    async def is_read() -> bool:
        return await status_in_thread() == "read"

    await eventually(is_read, "read in the thread")
    assert [e["data"]["status"] for e in stream.of(conversation, "message.status_changed")][-1] == "read"


def refusals(stream: Follower) -> list[str]:
    return [frame["reason"] for frame in stream.frames if frame["type"] == "snapshot_required"]


async def test_workspaces_do_not_see_each_other(
    system: System, agent: Api, stranger: Api, channel: Channel, stream: Follower
) -> None:
    who = someone()
    async with (
        Follower(stranger, system.info["stream"]) as theirs,
        Follower(stranger, system.info["stream"], cursor=stream.cursor) as with_our_cursor,
    ):
        await channel.say(who, "secret")
        conversation = await stream.conversation_of(who)
        await eventually(lambda: len(stream.of(conversation)) == 3, "we have it")
        await eventually(lambda: refusals(with_our_cursor), "our cursor is refused")
        assert refusals(with_our_cursor) == ["foreign"]
        assert not [e for e in theirs.events + with_our_cursor.events if e["workspace"] == "demo"]
    for method, tail, body in (
        ("GET", "", None),
        ("GET", "/messages", None),
        ("POST", "/messages", {"text": "x"}),
        ("POST", "/assignment", {"assignee": None}),
        ("POST", "/bot", {"enabled": False}),
        ("POST", "/close", {}),
        ("POST", "/reopen", {}),
        ("POST", "/notes", {"text": "x"}),
        ("POST", "/read", {"up_to_seq": 1}),
    ):
        await stranger.refused(method, f"/v1/conversations/{conversation}{tail}", 404, "NOT_FOUND", body)
