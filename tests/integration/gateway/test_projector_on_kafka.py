"""The projector as a member of its group, beside all the rest."""

import json
import uuid

from shared.contracts import topics
from shared.runtime.records import Outgoing
from shared.testing.api import Api
from shared.testing.eventually import eventually
from tests.integration.gateway.installation import Installation, Running, known
from tests.unit.gateway.histories import Writer


async def test_garbage_is_dead_lettered_with_its_bytes_and_the_partition_goes_on(
    installation: Installation, agent: Api, workspace: str
) -> None:
    garbage = [b"", b"\xff\xfe", b"[" * 10_000, b'{"specversion":"1.0"}']
    await installation.producer.publish([Outgoing(topics.WORKSPACE_EVENTS, workspace, value) for value in garbage])
    ident = await installation.says(workspace, "customer", "hello")
    await known(agent, ident, 3)
    await installation.producer.publish([Outgoing(topics.WORKSPACE_EVENTS, workspace, b"{}")])

    async def letters() -> bool:
        found = await installation.read(topics.dead_letter_name(topics.WORKSPACE_EVENTS))
        return [record.value for record in found if record.key == workspace.encode()] == [*garbage, b"{}"]

    await eventually(letters, "the dead letters")
    await agent.refused("GET", f"/v1/conversations/{uuid.uuid4()}", 404, "NOT_FOUND")


async def test_events_of_a_redelivery_are_told_and_stored_once(
    installation: Installation, agent: Api, workspace: str, conversation: str
) -> None:
    records = [r for r in await installation.events(workspace) if r.headers["subject"] == conversation.encode()]
    copies = [Outgoing(r.topic, workspace, r.value, tuple(r.headers.items())) for r in records]
    await installation.producer.publish(copies)
    await installation.says(workspace, "customer-1", "again")
    await known(agent, conversation, 4)
    thread = await agent.ok("GET", f"/v1/conversations/{conversation}/messages")
    assert [item["seq"] for item in thread["items"]] == [1, 2, 3, 4]
    assert thread["items"][:3] == [json.loads(record.value or b"") for record in records]
    assert (await agent.ok("GET", "/v1/counters"))["open"] == 1


async def test_a_replica_that_does_not_own_the_partition_reads_its_members_writes(
    installation: Installation, replica: Running, second: Running, agent: Api, workspace: str
) -> None:
    elsewhere = await installation.member(second.base, "linus", workspace)
    ident = await installation.says(workspace, "customer", "hello")
    await known(agent, ident, 3)
    for number in range(10):
        for api in (agent, elsewhere):
            sent = await api.reply(ident, f"reply {number}")
            assert sent.status == 201
            assert (await api.ok("GET", f"/v1/conversations/{ident}"))["seq"] >= sent.body["seq"]


async def test_events_of_types_to_come_are_kept(installation: Installation, agent: Api, workspace: str) -> None:
    writer = Writer(workspace=workspace)
    writer.opened()
    newer = writer.received().model_copy(update={"type": "relaydesk.message.pinned.v1", "data": {"any": [1]}})
    events = [*writer.events[:2], newer]
    await installation.producer.publish(
        [Outgoing(topics.WORKSPACE_EVENTS, workspace, event.encoded(), event.headers()) for event in events]
    )
    await known(agent, writer.id, 3)
    thread = await agent.ok("GET", f"/v1/conversations/{writer.id}/messages")
    assert thread["items"][-1]["data"] == {"any": [1]}
