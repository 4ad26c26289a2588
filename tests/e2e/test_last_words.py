"""What a bot says when it hands over, and what becomes of it when a person wants it silent before it has arrived."""

import math

import pytest

from shared.testing.adapter import Adapter, Reaction, Says, Seen, moment
from shared.testing.api import Api, Channel
from shared.testing.eventually import eventually
from shared.testing.follower import Follower

LAST = "A colleague takes over."


class Refusing:
    """An adapter's behaviour: takes people's messages, and a bot's only if they begin once it is well."""

    def __init__(self) -> None:
        self.well_since = math.inf
        self.taken: list[str] = []

    def __call__(self, seen: Seen) -> Reaction:
        if seen.body["author"]["kind"] == "bot" and seen.begun < self.well_since:
            return Says(503, b"", {"Retry-After": "2"})
        self.taken.append(seen.text)
        return Says()


@pytest.mark.parametrize("by", ["button", "reply", "reply of the assignee"])
async def test_last_words_that_have_not_arrived_are_silenced_by_an_acknowledged_disable(
    owner: Api, agent: Api, stream: Follower, by: str
) -> None:
    refusing, parting = Refusing(), {"replies": [{"text": LAST}], "handoff": True}
    async with Adapter(behaviour=refusing) as adapter, Adapter(behaviour=lambda seen: Says(200, parting)) as bot:
        asks = {"kind": "webhook", "settings": {"url": bot.url}}
        settings = {"kind": "webhook", "name": by, "settings": {"outbound_url": adapter.url}, "bot": asks}
        made = await owner.ok("POST", "/v1/channels", settings)
        customer = f"customer of {made['id']}"
        await Channel(owner, made["id"], made["secret"]).say(customer, "A person, please")
        conversation = await stream.conversation_of(customer)
        await eventually(lambda: adapter.seen, "its last words are tried")

        if by == "reply of the assignee":
            await agent.ok("POST", f"/v1/conversations/{conversation}/assignment", {"assignee": "ada"})
        if by == "button":
            await agent.ok("POST", f"/v1/conversations/{conversation}/bot", {"enabled": False})
        else:
            assert (await agent.reply(conversation, "I am here", disable_bot=True)).status == 201
        refusing.well_since = await moment()

        await eventually(lambda: "failed" in stream.statuses(conversation), "they are silenced")
        if by != "button":
            await eventually(lambda: refusing.taken, "the person is heard")
        assert LAST not in refusing.taken
        assert (await agent.ok("GET", f"/v1/conversations/{conversation}"))["needs_human"] is False
