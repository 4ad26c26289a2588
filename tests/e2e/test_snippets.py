"""Answering by snippet: what a manager wrote reaches the customer with the customer's own name in it."""

import uuid
from collections.abc import Callable
from typing import Any

from shared.testing.adapter import Adapter
from shared.testing.api import Answer, Api, Channel, someone
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, kind


async def written(owner: Api, message: str, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = await owner.ok(
        "POST", "/v1/snippets", {"name": uuid.uuid4().hex, "message": message, **fields}
    )
    return made


async def by_snippet(agent: Api, conversation: str, snippet: str, key: str) -> Answer:
    body, headers = {"snippet_id": snippet}, {"Idempotency-Key": key}
    return await agent.call("POST", f"/v1/conversations/{conversation}/messages", body, headers)


async def answered(ask: Callable[[], Any], status: int) -> Answer:
    """The snippets service hears of a contact a moment later: until then it is 404."""
    found: list[Answer] = []

    async def is_so() -> bool:
        found.append(await ask())
        return found[-1].status == status

    await eventually(is_so, f"answered {status}")
    return found[-1]


async def test_a_snippet_is_sent_with_the_contacts_values(
    agent: Api, owner: Api, channel: Channel, stream: Follower, adapter: Adapter
) -> None:
    await channel.say(who := someone(), "hi", first_name="Grace $contact.email")
    conversation = await stream.conversation_of(who)
    snippet = await written(owner, "Dear $contact.firstname, thanks.")
    sent = await answered(lambda: by_snippet(agent, conversation, snippet["id"], "one"), 201)
    assert sent.body["text"] == "Dear Grace $contact.email, thanks."
    await eventually(
        lambda: adapter.texts(conversation) == ["Dear Grace $contact.email, thanks."], "the customer has it"
    )


async def test_a_repeat_sends_what_was_rendered_first_whatever_changed_since(
    agent: Api, owner: Api, channel: Channel, stream: Follower, adapter: Adapter
) -> None:
    await channel.say(who := someone(), "hi", first_name="Ada")
    conversation = await stream.conversation_of(who)
    snippet = await written(owner, "first text, $contact.firstname")
    key = uuid.uuid4().hex
    first = await answered(lambda: by_snippet(agent, conversation, snippet["id"], key), 201)
    path = f"/v1/snippets/{snippet['id']}"
    await owner.ok("PUT", path, {"name": snippet["name"], "message": "second text"})
    assert (await by_snippet(agent, conversation, snippet["id"], key)).body == first.body
    assert (await owner.call("DELETE", path)).status == 204
    assert (await by_snippet(agent, conversation, snippet["id"], key)).body == first.body
    assert (await by_snippet(agent, conversation, snippet["id"], uuid.uuid4().hex)).status == 404
    await eventually(lambda: adapter.texts(conversation) == ["first text, Ada"], "once")


async def test_a_missing_value_blocks_names_the_variable_and_sends_nothing(
    agent: Api, owner: Api, channel: Channel, stream: Follower, adapter: Adapter
) -> None:
    await channel.say(who := someone(), "hi")
    conversation = await stream.conversation_of(who)
    snippet = await written(owner, "to $contact.email")
    refused = await answered(lambda: by_snippet(agent, conversation, snippet["id"], uuid.uuid4().hex), 409)
    assert refused.body["code"] == "MISSING_VALUE"
    assert refused.body["variables"] == ["contact.email"]
    assert adapter.texts(conversation) == []


async def test_every_console_hears_of_a_change(agent: Api, owner: Api, stream: Follower) -> None:
    snippet = await written(owner, "told")
    await owner.call("DELETE", f"/v1/snippets/{snippet['id']}")

    def told() -> list[str]:
        return [kind(event) for event in stream.events if event["subject"] == snippet["id"]]

    await eventually(lambda: told() == ["snippet.saved", "snippet.removed"], "both")
