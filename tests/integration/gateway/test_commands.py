"""Commands through the API with a real routing behind: outcomes as answers, and what is refused before it is one."""

import uuid
from typing import Any

import pytest

from shared.contracts import topics
from shared.testing.api import Api
from shared.testing.eventually import eventually
from tests.integration.gateway.installation import Installation, known
from tests.integration.gateway.neighbours import Neighbours


async def test_a_reply_answers_the_message_claims_and_is_read_by_its_writer_at_once(
    installation: Installation, agent: Api, workspace: str, conversation: str
) -> None:
    answer = await agent.reply(conversation, "How can I help? 😊")
    assert answer.status == 201
    message = answer.body
    assert (message["text"], message["status"], message["author"]["kind"]) == ("How can I help? 😊", "queued", "agent")
    state = await agent.ok("GET", f"/v1/conversations/{conversation}")
    assert (state["assignee"], state["unread"], state["last_message"]["id"]) == ("grace", 0, message["id"])
    thread = (await agent.ok("GET", f"/v1/conversations/{conversation}/messages"))["items"]
    assert [item["type"].split(".")[2] for item in thread[-2:]] == ["assigned", "sent"]
    assert len(await installation.events(workspace, "message.sent")) == 1


async def test_a_note_stays_inside(installation: Installation, agent: Api, conversation: str) -> None:
    answer = await agent.call("POST", f"/v1/conversations/{conversation}/notes", {"text": "VIP"})
    assert (answer.status, answer.body["text"], answer.body["status"]) == (201, "VIP", None)
    outbound = [r for r in await installation.read(topics.CHANNEL_OUTBOUND) if conversation.encode() in (r.key or b"")]
    assert outbound == []
    state = await agent.ok("GET", f"/v1/conversations/{conversation}")
    assert (state["assignee"], state["last_message"]["text"]) == (None, "hello")


async def test_an_assignment_is_answered_with_the_state_it_made(agent: Api, other: Api, conversation: str) -> None:
    path = f"/v1/conversations/{conversation}/assignment"
    state = await agent.ok("POST", path, {"assignee": "linus"})
    assert state["assignee"] == "linus"
    await agent.refused("POST", path, 409, "CONFLICT", {"assignee": None, "expected_version": 1})
    state = await agent.ok("POST", path, {"assignee": None, "expected_version": state["seq"]})
    assert state["assignee"] is None
    assert (await agent.ok("POST", path, {"assignee": None}))["seq"] == state["seq"]


async def test_nobody_unknown_is_assigned(agent: Api, stranger: Api, conversation: str) -> None:
    await stranger.ok("GET", "/v1/me")
    for nobody in ("nobody-like-this", "x" * 255):
        body = {"assignee": nobody}
        await agent.refused("POST", f"/v1/conversations/{conversation}/assignment", 422, "UNKNOWN_MEMBER", body)


async def test_closing_and_reopening(agent: Api, conversation: str) -> None:
    path = f"/v1/conversations/{conversation}"
    assert (await agent.ok("POST", f"{path}/close", {}))["status"] == "closed"
    assert (await agent.ok("POST", f"{path}/close"))["status"] == "closed"
    assert (await agent.ok("POST", f"{path}/reopen"))["status"] == "open"
    assert (await agent.reply(conversation, "hi")).status == 201


async def test_a_bot_that_is_on_comes_first_and_can_be_sent_away(
    installation: Installation, agent: Api, workspace: str
) -> None:
    ident = await installation.says(workspace, "customer", "hello", bot="webhook")
    assert (await known(agent, ident, 3))["bot"]["enabled"] is True
    path = f"/v1/conversations/{ident}"
    await agent.refused("POST", f"{path}/messages", 409, "BOT_ACTIVE", {"text": "hi"})
    assert (await agent.ok("POST", f"{path}/bot", {"enabled": False}))["bot"]["enabled"] is False
    assert (await agent.reply(ident, "hi")).status == 201
    await agent.refused("POST", f"{path}/bot", 409, "NO_BOT", {"enabled": True})


async def test_a_stale_view_is_caught_and_names_what_was_missed(agent: Api, other: Api, conversation: str) -> None:
    first = await agent.reply(conversation, "first", last_seen_seq=3)
    assert first.status == 201
    path = f"/v1/conversations/{conversation}/messages"
    problem = await other.refused("POST", path, 409, "STALE_VIEW", {"text": "second", "last_seen_seq": 3})
    assert problem["missed"] == [first.body["seq"]]
    assert (await other.reply(conversation, "second", last_seen_seq=3, force=True)).status == 201


@pytest.mark.parametrize(
    ("tail", "body"),
    [
        ("messages", {}),
        ("messages", {"text": ""}),
        ("messages", {"text": " \n\t"}),
        ("messages", {"text": "x" * 16_385}),
        ("messages", {"text": 7}),
        ("messages", {"text": "x", "attachments": [{"media_id": str(uuid.uuid4())}] * 11}),
        ("messages", {"text": "x", "attachments": [{}]}),
        ("messages", {"text": "x", "snippet_id": "greeting"}),
        ("messages", {"text": "x", "last_seen_seq": -1}),
        ("messages", {"text": "x", "last_seen_seq": 2**63}),
        ("messages", {"text": "x", "force": "yes"}),
        ("messages", {"text": "x", "unknown": 1}),
        ("messages", {"text": "a\0b"}),
        ("messages", []),
        ("notes", {}),
        ("notes", {"text": " "}),
        ("notes", {"text": "x" * 16_385}),
        ("notes", {"text": "a\0b"}),
        ("assignment", {}),
        ("assignment", {"assignee": ""}),
        ("assignment", {"assignee": "x" * 256}),
        ("assignment", {"assignee": None, "expected_version": 1.5}),
        ("bot", {}),
        ("bot", {"enabled": 1}),
        ("close", {"now": True}),
        ("read", {}),
        ("read", {"up_to_seq": "3"}),
        ("read", {"up_to_seq": 10**16}),
    ],
)
async def test_a_body_that_is_not_valid_is_refused_and_nothing_taken(
    installation: Installation, agent: Api, conversation: str, workspace: str, tail: str, body: Any
) -> None:
    problem = await agent.refused("POST", f"/v1/conversations/{conversation}/{tail}", 422, "INVALID", body)
    assert problem["errors"]
    assert await installation.db["commands"].count_documents({"workspace": workspace}) == 0


@pytest.mark.parametrize("raw", [b"{not json", b"\xff\xfe", b"[" * 100_000, b'{"text": "\\ud800"}', b'{"text": NaN}'])
async def test_a_body_that_is_no_json_is_malformed(agent: Api, conversation: str, raw: bytes) -> None:
    await agent.refused("POST", f"/v1/conversations/{conversation}/messages", 400, "MALFORMED", raw)


async def test_odd_text_arrives_as_it_was_written(agent: Api, conversation: str) -> None:
    text = "bell \x07, bidi \u202e, emoji 👩‍👩‍👧, $where {'$gt': ''}, \"quotes\""
    answer = await agent.reply(conversation, text)
    assert (answer.status, answer.body["text"]) == (201, text)
    thread = (await agent.ok("GET", f"/v1/conversations/{conversation}/messages"))["items"]
    assert thread[-1]["data"]["message"]["text"] == text


async def test_a_snippet_is_rendered_once_for_a_key(agent: Api, conversation: str, neighbours: Neighbours) -> None:
    path, key = f"/v1/conversations/{conversation}/messages", {"Idempotency-Key": uuid.uuid4().hex}
    first = await agent.call("POST", path, {"snippet_id": "greeting"}, key)
    assert first.status == 201 and first.body["text"].startswith("Hello Ada, take ")
    rendered = neighbours.rendered
    again = await agent.call("POST", path, {"snippet_id": "greeting"}, key)
    assert (again.status, again.body["text"], neighbours.rendered) == (201, first.body["text"], rendered)


async def test_a_snippet_that_cannot_be_rendered_sends_nothing(
    installation: Installation, agent: Api, conversation: str, workspace: str, neighbours: Neighbours
) -> None:
    path = f"/v1/conversations/{conversation}/messages"
    await agent.refused("POST", path, 404, "NOT_FOUND", {"snippet_id": "../../v1/me"})
    problem = await agent.refused("POST", path, 409, "MISSING_VALUE", {"snippet_id": "lacking"})
    assert problem["variables"] == ["contact.email"]
    neighbours.away = True
    try:
        await agent.refused("POST", path, 503, "UNAVAILABLE", {"snippet_id": "greeting"})
    finally:
        neighbours.away = False
    assert await installation.db["commands"].count_documents({"workspace": workspace}) == 0


async def test_a_reply_that_another_service_has_no_time_for_is_sent_by_the_next_try_with_its_key(
    agent: Api, conversation: str, neighbours: Neighbours
) -> None:
    path, key = f"/v1/conversations/{conversation}/messages", {"Idempotency-Key": "busy"}
    neighbours.busy = True
    try:
        refused = await agent.call("POST", path, {"snippet_id": "greeting"}, key)
    finally:
        neighbours.busy = False
    assert (refused.status, refused.body["code"], refused.headers["retry-after"]) == (429, "TOO_MANY_REQUESTS", "2")
    assert (await agent.call("POST", path, {"snippet_id": "greeting"}, key)).status == 201


async def test_a_contact_is_not_changed_to_nothing(agent: Api, conversation: str) -> None:
    contact = (await agent.ok("GET", f"/v1/conversations/{conversation}"))["contact"]
    for body in ({}, {"version": 3}, {"email": "x" * 201}, {"name": 7}):
        await agent.refused("PATCH", f"/v1/contacts/{contact['id']}", 422, "INVALID", body)


async def test_what_became_of_a_command_is_its_members_to_know(
    installation: Installation, agent: Api, other: Api, stranger: Api, workspace: str, conversation: str
) -> None:
    sent = await agent.reply(conversation, "hi")
    await agent.refused("POST", f"/v1/conversations/{conversation}/bot", 409, "NO_BOT", {"enabled": True})
    found = await installation.db["commands"].find({"workspace": workspace}).sort("created_at", 1).to_list(None)
    accepted, rejected = [row["_id"] for row in found]
    shown = await agent.ok("GET", f"/v1/commands/{accepted}")
    assert shown == {"id": accepted, "status": "accepted", "result": sent.body}
    shown = await agent.ok("GET", f"/v1/commands/{rejected}")
    assert (shown["status"], shown["problem"]["code"], shown["problem"]["status"]) == ("rejected", "NO_BOT", 409)
    for somebody in (other, stranger):
        await somebody.refused("GET", f"/v1/commands/{accepted}", 404, "NOT_FOUND")


async def test_nothing_of_a_decided_command_is_left_to_publish(
    installation: Installation, agent: Api, workspace: str, conversation: str
) -> None:
    await agent.reply(conversation, "hi")

    async def clean() -> bool:
        row = await installation.db["commands"].find_one({"workspace": workspace})
        return row is not None and "pending" not in row and "record" not in row

    await eventually(clean, "an empty outbox")
