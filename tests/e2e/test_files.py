"""A file of the library reaches a customer as it was uploaded, and stays with them."""

from typing import Any

from shared.testing.adapter import Adapter, Reaction, Says, Seen
from shared.testing.api import Api, Channel, someone
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, kind
from shared.testing.uploads import fetch, settled, uploaded
from tests.unit.media.files import png

PICTURE = png(64)


async def test_a_library_file_is_sent_with_a_link_that_works_and_outlives_its_place(
    agent: Api, owner: Api, stranger: Api, channel: Channel, stream: Follower, adapter: Adapter
) -> None:
    made = await uploaded(owner, PICTURE, "catálogo 2026.png")
    await settled(agent, made)
    await eventually(lambda: [event for event in stream.events if kind(event) == "file.added"], "consoles hear of it")
    await stranger.refused("GET", f"/v1/files/{made['id']}", 404, "NOT_FOUND")
    await channel.say(who := someone(), "what do you have?")
    conversation = await stream.conversation_of(who)
    body = {"text": "see this", "attachments": [{"media_id": made["media_id"]}]}
    sent = await agent.ok("POST", f"/v1/conversations/{conversation}/messages", body)
    assert sent["attachments"][0]["content_type"] == "image/png"
    attachment = await delivered(adapter, conversation)
    assert (attachment["kind"], attachment["filename"], attachment["size"]) == (
        "image",
        "catálogo 2026.png",
        len(PICTURE),
    )
    assert (await fetch(attachment["url"])).body == PICTURE
    assert (await owner.call("DELETE", f"/v1/files/{made['id']}")).status == 204
    assert (await fetch(attachment["url"])).body == PICTURE
    (told,) = [event for event in await agent.thread(conversation) if kind(event) == "message.sent"]
    assert told["data"]["message"]["attachments"][0]["media_id"] == made["media_id"]


class Once:
    """An adapter that refuses the first attempt of this conversation: an earlier test's may come, too."""

    def __init__(self, conversation: str) -> None:
        self._conversation = conversation
        self._stumbled = False

    def __call__(self, seen: Seen) -> Reaction:
        if self._stumbled or seen.conversation != self._conversation:
            return Says()
        self._stumbled = True
        return Says(503)


async def test_a_second_attempt_carries_a_link_that_works(
    agent: Api, owner: Api, channel: Channel, stream: Follower, adapter: Adapter
) -> None:
    made = await uploaded(owner, PICTURE)
    await settled(agent, made)
    await channel.say(who := someone(), "hi")
    conversation = await stream.conversation_of(who)
    adapter.behaviour = Once(conversation)
    await agent.ok(
        "POST", f"/v1/conversations/{conversation}/messages", {"attachments": [{"media_id": made["media_id"]}]}
    )
    await eventually(lambda: len(bodies(adapter, conversation)) == 2, "a second attempt")
    links = [body["attachments"][0]["url"] for body in bodies(adapter, conversation)]
    assert (await fetch(links[1])).body == PICTURE


def bodies(adapter: Adapter, conversation: str) -> list[dict[str, Any]]:
    return [seen.body for seen in adapter.seen if seen.body["conversation_id"] == conversation]


async def delivered(adapter: Adapter, conversation: str) -> dict[str, Any]:
    found = await eventually(lambda: bodies(adapter, conversation), "delivered")
    attachment: dict[str, Any] = found[0]["attachments"][0]
    return attachment
