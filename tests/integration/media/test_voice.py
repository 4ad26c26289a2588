"""Voice messages over HTTP: record, complete, listen, discard; on a real S3."""

import uuid
from typing import Any

import pytest
import pytest_asyncio

from shared.contracts import topics
from shared.contracts.events import CloudEvent
from shared.contracts.wire import decode_event
from shared.testing.api import Api
from shared.testing.eventually import eventually
from shared.testing.recordings import heard, recording
from shared.testing.uploads import CHECKED_WITHIN_S, fetch
from tests.integration.media.installation import Installation, unique
from tests.unit.media import files
from tests.unit.media.files import png

WEBM = recording("webm", "libopus", 2.0)


@pytest_asyncio.fixture
async def conversation(installation: Installation, workspace: str) -> str:
    return installation.conversation(workspace)


async def begun(api: Api, conversation: str, content: bytes, **fields: Any) -> dict[str, Any]:
    body = {"purpose": "voice", "content_type": "audio/webm;codecs=opus", "size": len(content)}
    made: dict[str, Any] = await api.ok("POST", "/v1/media", body | {"conversation_id": conversation} | fields)
    return made


async def recorded(api: Api, conversation: str, content: bytes, **fields: Any) -> str:
    made = await begun(api, conversation, content, **fields)
    assert (await fetch(made["upload"]["url"], "PUT", content)).status == 200
    assert (await api.call("POST", f"/v1/media/{made['media_id']}/complete")).status == 202
    return str(made["media_id"])


async def settled(api: Api, media: str) -> dict[str, Any]:
    async def state() -> dict[str, Any] | None:
        found = await api.ok("GET", f"/v1/media/{media}")
        return found if found["state"] in ("ready", "rejected") else None

    return await eventually(state, "ready or rejected", CHECKED_WITHIN_S)


async def listened(api: Api, media: str, rendition: str = "") -> tuple[bytes, str]:
    query = f"?rendition={rendition}" if rendition else ""
    answer = await api.call("GET", f"/v1/media/{media}/content{query}")
    assert answer.status == 302
    got = await fetch(answer.headers["location"])
    return got.body, got.headers["content-type"]


async def test_a_recording_can_be_listened_to_before_it_is_sent(
    installation: Installation, agent: Api, workspace: str, conversation: str
) -> None:
    media = await recorded(agent, conversation, WEBM)
    ready = await settled(agent, media)
    assert (ready["state"], ready["purpose"], ready["attachable"]) == ("ready", "voice", True)
    assert ready["content_type"] == "audio/ogg; codecs=opus"
    assert ready["duration_s"] == pytest.approx(2.0, abs=0.05) and len(ready["waveform"]) == 64
    assert [(one["name"], one["content_type"]) for one in ready["renditions"]] == [
        ("ogg", "audio/ogg; codecs=opus"),
        ("m4a", "audio/mp4"),
    ]
    ogg, m4a = await listened(agent, media, "ogg"), await listened(agent, media, "m4a")
    assert (heard(ogg[0], "ogg")[1], ogg[1]) == (1, "audio/ogg; codecs=opus")
    assert (heard(m4a[0], "mov")[1], m4a[1]) == (1, "audio/mp4")
    assert await listened(agent, media) == ogg
    assert (len(ogg[0]), ready["size"]) == (ready["size"], len(ogg[0]))
    await agent.refused("GET", f"/v1/media/{media}/content?rendition=original", 404, "NOT_FOUND")

    async def told() -> list[CloudEvent]:
        events = [decode_event(one.value or b"") for one in await installation.read(topics.WORKSPACE_EVENTS)]
        return [event for event in events if event.workspace == workspace]

    (event,) = await eventually(told, "media.ready")
    assert (event.type, event.audience) == ("relaydesk.media.ready.v1", "agent:agent-1")
    assert (event.data["conversation_id"], event.data["attachment"]["kind"]) == (conversation, "voice")


async def test_a_draft_is_its_makers(
    installation: Installation, base: str, agent: Api, manager: Api, conversation: str
) -> None:
    media = await recorded(agent, conversation, WEBM)
    await settled(agent, media)
    stranger = await installation.member(base, "owner", unique())
    for method, tail in (("GET", ""), ("GET", "/content"), ("DELETE", ""), ("POST", "/complete")):
        await stranger.refused(method, f"/v1/media/{media}{tail}", 404, "NOT_FOUND")
    await manager.refused("DELETE", f"/v1/media/{media}", 404, "NOT_FOUND")
    await manager.refused("POST", f"/v1/media/{media}/complete", 404, "NOT_FOUND")
    assert (await agent.call("DELETE", f"/v1/media/{media}")).status == 204
    await agent.refused("GET", f"/v1/media/{media}", 404, "NOT_FOUND")
    await agent.refused("GET", f"/v1/media/{media}/content", 404, "NOT_FOUND")


async def test_an_upload_that_is_given_up_comes_to_nothing(agent: Api, conversation: str) -> None:
    made = await begun(agent, conversation, WEBM)
    assert (await agent.call("DELETE", f"/v1/media/{made['media_id']}")).status == 204
    await agent.refused("POST", f"/v1/media/{made['media_id']}/complete", 404, "NOT_FOUND")


async def test_a_recording_belongs_to_a_conversation_that_the_member_sees(
    installation: Installation, agent: Api
) -> None:
    foreign = installation.conversation(unique())
    for ident in (foreign, str(uuid.uuid4()), "../me"):
        body = {"purpose": "voice", "content_type": "audio/ogg", "size": 10, "conversation_id": ident}
        await agent.refused("POST", "/v1/media", 404, "NOT_FOUND", body)


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"size": 17 << 20}, 413, "FILE_TOO_LARGE"),
        ({"size": 0}, 422, "INVALID"),
        ({"size": -5}, 422, "INVALID"),
        ({"size": "big"}, 422, "INVALID"),
        ({"content_type": "image/png"}, 422, "TYPE_NOT_ALLOWED"),
        ({"content_type": "video/webm"}, 422, "TYPE_NOT_ALLOWED"),
        ({"purpose": "music"}, 422, "INVALID"),
        ({"filename": "../x.ogg"}, 422, "BAD_FILENAME"),
    ],
)
async def test_what_is_announced_badly_is_refused(
    agent: Api, conversation: str, changed: dict[str, Any], status: int, code: str
) -> None:
    body = {"purpose": "voice", "content_type": "audio/ogg", "size": 10, "conversation_id": conversation}
    await agent.refused("POST", "/v1/media", status, code, body | changed)


@pytest.mark.parametrize(
    ("content", "content_type", "code"),
    [
        (files.PLAYLIST * 9, "audio/ogg", "UNREADABLE"),
        (png(), "audio/ogg", "UNREADABLE"),
        (files.wav()[:60], "audio/wav", "UNREADABLE"),
    ],
)
async def test_what_is_no_recording_is_refused_and_cannot_be_heard(
    agent: Api, conversation: str, content: bytes, content_type: str, code: str
) -> None:
    media = await recorded(agent, conversation, content, content_type=content_type)
    got = await settled(agent, media)
    assert (got["state"], got["code"], got["attachable"]) == ("rejected", code, False)
    await agent.refused("GET", f"/v1/media/{media}/content", 409, "MEDIA_REJECTED")


async def test_a_file_for_one_reply_is_checked_and_kept_as_it_is(agent: Api, conversation: str) -> None:
    picture = png(64)
    fields = {"purpose": "attachment", "content_type": "image/png", "filename": "kettle.png"}
    media = await recorded(agent, conversation, picture, **fields)
    ready = await settled(agent, media)
    assert (ready["state"], ready["filename"], ready["purpose"]) == ("ready", "kettle.png", "attachment")
    assert await listened(agent, media) == (picture, "image/png")
    assert (await agent.ok("GET", "/v1/files"))["items"] == []
    await agent.refused("GET", f"/v1/files/{media}", 404, "NOT_FOUND")
