"""What replies carry: media that are ready, by the gateway's own copy or by the media service's word."""

import uuid
from typing import Any

import pytest

from shared.contracts import topics
from shared.contracts.outbound import ChannelRecord, MediaRecord
from shared.contracts.resources import Media, Rendition
from shared.contracts.wire import decode_outbound, encode
from shared.runtime.records import Outgoing
from shared.testing.api import Answer, Api
from shared.testing.eventually import eventually
from tests.integration.gateway.installation import Installation, known
from tests.integration.gateway.neighbours import Neighbours

SHA = "ab" * 32


def media(**changes: Any) -> Media:
    original = Rendition(name="original", content_type="application/pdf", size=9, sha256=SHA)
    fields: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "purpose": "attachment",
        "state": "ready",
        "content_type": "application/pdf",
        "filename": "price list.pdf",
        "size": 9,
        "renditions": (original,),
        "attachable": True,
        "version": 3,
    }
    return Media(**fields | changes)


async def told(installation: Installation, workspace: str, *versions: Media) -> None:
    """On the topic `media`, and in the copy."""
    rows = [MediaRecord(workspace=workspace, media=one) for one in versions]
    await installation.producer.publish([Outgoing(topics.MEDIA, row.media.id, encode(row)) for row in rows])
    last = max(versions, key=lambda one: one.version)

    async def there() -> bool:
        found = await installation.db["media"].find_one({"_id": last.id})
        return found is not None and found["version"] == last.version

    await eventually(there, "the copy has it")


async def reply(agent: Api, conversation: str, *idents: str, **fields: Any) -> Answer:
    body = {"attachments": [{"media_id": ident} for ident in idents], **fields}
    return await agent.call("POST", f"/v1/conversations/{conversation}/messages", body)


async def test_a_reply_carries_media_without_asking_for_what_is_known(
    installation: Installation, agent: Api, conversation: str, workspace: str, neighbours: Neighbours
) -> None:
    one, two = media(), media(content_type="image/png", filename="a.png")
    await told(installation, workspace, one)
    await told(installation, workspace, two)
    answer = await reply(agent, conversation, one.id, two.id)
    assert answer.status == 201
    assert answer.body["text"] is None
    assert [(a["media_id"], a["kind"], a["filename"], a["status"]) for a in answer.body["attachments"]] == [
        (one.id, "file", "price list.pdf", "ready"),
        (two.id, "image", "a.png", "ready"),
    ]
    assert not {one.id, two.id} & set(neighbours.asked)

    async def sent() -> Any:
        records = [decode_outbound(record.value or b"") for record in await installation.read(topics.CHANNEL_OUTBOUND)]
        return [found for found in records if found.conversation_id == conversation]

    (delivery,) = await eventually(sent, "it goes out")
    assert [one.objects for one in delivery.attachments] == [{"original": f"{workspace}/{SHA}"}] * 2
    jobs = [record.value or b"" for record in await installation.read(topics.MEDIA_JOBS)]
    assert sum(b"MediaReferenced" in job and workspace.encode() in job for job in jobs) == 2


async def test_what_is_not_known_yet_is_asked_for(agent: Api, conversation: str, neighbours: Neighbours) -> None:
    fresh = media()
    neighbours.media[fresh.id] = fresh.model_dump(mode="json") | {"new_field": 1}
    answer = await reply(agent, conversation, fresh.id, text="here it is")
    assert (answer.status, answer.body["text"], len(answer.body["attachments"])) == (201, "here it is", 1)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"state": "uploading", "attachable": False}, 409, "MEDIA_NOT_READY"),
        ({"state": "processing", "attachable": False}, 409, "MEDIA_NOT_READY"),
        ({"state": "rejected", "code": "UNREADABLE", "attachable": False}, 409, "MEDIA_REJECTED"),
        ({"attachable": False}, 422, "UNKNOWN_MEDIA"),
        (None, 422, "UNKNOWN_MEDIA"),
    ],
)
async def test_what_cannot_be_sent_is_refused_in_its_place(
    installation: Installation,
    agent: Api,
    conversation: str,
    workspace: str,
    neighbours: Neighbours,
    changes: dict[str, Any] | None,
    status: int,
    code: str,
) -> None:
    fine, bad = media(), media(**changes or {})
    await told(installation, workspace, fine)
    if changes is not None:
        neighbours.media[bad.id] = bad.model_dump(mode="json")
    answer = await reply(agent, conversation, fine.id, bad.id)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert [fault["field"] for fault in answer.body["errors"]] == ["attachments.1.media_id"]
    assert await installation.db["commands"].count_documents({"workspace": workspace}) == 0


async def carries(installation: Installation, workspace: str, **able: Any) -> str:
    """A channel that carries no more than that, known to the gateway; -> its id."""
    channel = f"ch-{uuid.uuid4().hex[:8]}"
    record = ChannelRecord(
        workspace=workspace,
        id=channel,
        kind="webhook",
        name="narrow",
        settings={"capabilities": able},
        bot=None,
        secrets=(),
        version=1,
    )
    await installation.producer.publish([Outgoing(topics.CHANNELS, channel, encode(record))])
    return channel


@pytest.mark.parametrize(
    ("able", "changes", "text", "code", "told_limit"),
    [
        ({"media": ["image"]}, {}, None, "MEDIA_NOT_SUPPORTED", {"allowed": ["image"]}),
        ({"content_types": ["image/png"]}, {}, None, "MEDIA_NOT_SUPPORTED", {"allowed": ["image/png"]}),
        ({"max_bytes": {"file": 8}}, {}, None, "MEDIA_TOO_LARGE", {"limit": 8}),
        ({"media": ["image"]}, {"purpose": "voice"}, None, "MEDIA_NOT_SUPPORTED", {"allowed": ["image"]}),
        ({"text_limit": 5}, None, "longer", "TEXT_TOO_LONG", {"limit": 5}),
    ],
)
async def test_what_the_channel_does_not_carry_is_refused_before_it_is_sent(
    installation: Installation,
    agent: Api,
    workspace: str,
    able: dict[str, Any],
    changes: dict[str, Any] | None,
    text: str | None,
    code: str,
    told_limit: dict[str, Any],
) -> None:
    channel = await carries(installation, workspace, **able)
    conversation = await installation.says(workspace, "ada", "hello", channel=channel)
    await known(agent, conversation, 3)
    idents = []
    if changes is not None:
        one = media(**changes)
        await told(installation, workspace, one)
        idents = [one.id]

    async def refused() -> Answer | None:
        answer = await reply(agent, conversation, *idents, **({"text": text} if text else {}))
        return answer if answer.status == 422 else None

    answer = await eventually(refused, "the gateway knows the channel")
    assert (answer.body["code"], answer.body.items() >= told_limit.items()) == (code, True)
    assert [one["code"] for one in answer.body["errors"]] == [code]


async def test_media_of_another_workspace_do_not_exist(
    installation: Installation, agent: Api, conversation: str
) -> None:
    foreign = media()
    await told(installation, "somebody-else", foreign)
    assert (await reply(agent, conversation, foreign.id)).body["code"] == "UNKNOWN_MEDIA"
    assert (await reply(agent, conversation, "../../v1/me")).body["code"] == "UNKNOWN_MEDIA"


async def test_an_older_record_of_a_media_does_not_come_back(
    installation: Installation, agent: Api, conversation: str, workspace: str, neighbours: Neighbours
) -> None:
    now = media()
    gone = now.model_copy(update={"attachable": False, "version": 4})
    await told(installation, workspace, gone, now)
    neighbours.media[now.id] = gone.model_dump(mode="json")
    assert (await reply(agent, conversation, now.id)).body["code"] == "UNKNOWN_MEDIA"


async def test_without_the_media_service_nothing_is_sent_that_is_not_known(
    installation: Installation, agent: Api, conversation: str, workspace: str, neighbours: Neighbours
) -> None:
    one = media()
    await told(installation, workspace, one)
    neighbours.away = True
    try:
        assert (await reply(agent, conversation, str(uuid.uuid4()))).status == 503
        assert (await reply(agent, conversation, one.id)).status == 201
    finally:
        neighbours.away = False


async def test_a_reply_needs_something_to_say(agent: Api, conversation: str) -> None:
    await agent.refused("POST", f"/v1/conversations/{conversation}/messages", 422, "INVALID", {"text": " "})


async def test_the_first_outcome_stands_whatever_became_of_the_file(
    installation: Installation, agent: Api, conversation: str, workspace: str, neighbours: Neighbours
) -> None:
    one = media()
    await told(installation, workspace, one)
    path, key = f"/v1/conversations/{conversation}/messages", {"Idempotency-Key": uuid.uuid4().hex}
    body = {"attachments": [{"media_id": one.id}]}
    first = await agent.call("POST", path, body, key)
    await told(installation, workspace, one.model_copy(update={"attachable": False, "version": 4}))
    assert (await agent.call("POST", path, body, key)).body == first.body
