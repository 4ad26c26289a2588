"""Snippets over HTTP: who may what, what is refused, exact limits, what the stream is told."""

import asyncio
import json
import uuid
from typing import Any

import pytest

from services.snippets.shelf import MOST
from shared.contracts import topics
from shared.testing.api import Api
from shared.testing.eventually import eventually
from tests.integration.snippets.installation import CONTACTS_DLQ, Installation

GREETING = {"name": "Greeting", "message": "Hello $contact.firstname", "theme": "greetings"}


async def made(manager: Api, **fields: Any) -> dict[str, Any]:
    body = {"name": uuid.uuid4().hex, "message": "Hello", **fields}
    found: dict[str, Any] = await manager.ok("POST", "/v1/snippets", body)
    return found


async def test_a_snippet_is_added_read_changed_and_deleted(manager: Api, agent: Api) -> None:
    new = await manager.ok("POST", "/v1/snippets", GREETING)
    assert new == {**GREETING, "id": new["id"], "missing": "block", "variables": ["contact.firstname"]} | {
        name: new[name] for name in ("updated_at", "uses", "used_at", "version")
    }
    assert (new["version"], new["uses"], new["used_at"]) == (1, 0, None)
    path = f"/v1/snippets/{new['id']}"
    assert await agent.ok("GET", path) == new
    changed = await manager.ok("PUT", path, {**GREETING, "message": "Hi", "missing": {"fallback": "there"}})
    assert (changed["version"], changed["message"], changed["missing"]) == (2, "Hi", {"fallback": "there"})
    assert (await manager.call("DELETE", path)).status == 204
    await agent.refused("GET", path, 404, "NOT_FOUND")
    assert (await agent.ok("GET", "/v1/snippets"))["total"] == 0


async def test_agents_read_and_do_not_write(manager: Api, agent: Api) -> None:
    path = f"/v1/snippets/{(await made(manager))['id']}"
    for method, where, body in (("POST", "/v1/snippets", GREETING), ("PUT", path, GREETING), ("DELETE", path, None)):
        await agent.refused(method, where, 403, "FORBIDDEN", body)


async def test_a_snippet_of_another_workspace_does_not_exist(
    installation: Installation, base: str, manager: Api
) -> None:
    path = f"/v1/snippets/{(await made(manager))['id']}"
    stranger = await installation.member(base, "owner", f"w-{uuid.uuid4().hex[:12]}")
    for method, body in (("GET", None), ("PUT", GREETING), ("DELETE", None)):
        await stranger.refused(method, path, 404, "NOT_FOUND", body)
    await stranger.refused("POST", f"{path}/render", 404, "NOT_FOUND", {"contact_id": "x"})
    assert (await stranger.ok("GET", "/v1/snippets"))["items"] == []


async def test_a_stale_tag_loses_nothing_of_what_another_wrote(manager: Api) -> None:
    new = await made(manager)
    path, body = f"/v1/snippets/{new['id']}", {"name": new["name"], "message": "one"}
    read = await manager.call("GET", path)
    assert read.headers["etag"] == '"1"'
    assert (await manager.call("PUT", path, body, {"If-Match": '"1"'})).headers["etag"] == '"2"'
    for tag in ('"1"', '"3"', '""', "nonsense", 'W/"x", "7"'):
        refused = await manager.call("PUT", path, {**body, "message": "two"}, {"If-Match": tag})
        assert (refused.status, refused.body["code"]) == (412, "PRECONDITION_FAILED")
        assert (await manager.call("DELETE", path, None, {"If-Match": tag})).status == 412
    assert (await manager.ok("GET", path))["message"] == "one"
    for tag in ('"2"', '"9", "2"', "*"):
        assert (await manager.call("PUT", path, body, {"If-Match": tag})).status == 200
    assert (await manager.ok("GET", path))["version"] == 2, "the same once more is no change"


@pytest.mark.parametrize(
    "body",
    [
        {"message": "x"},
        {"name": "", "message": "x"},
        {"name": " \t", "message": "x"},
        {"name": "n"},
        {"name": "n", "message": ""},
        {"name": "n", "message": "x" * 5_001},
        {"name": "n" * 141, "message": "x"},
        {"name": "n", "message": "x", "missing": "explode"},
        {"name": "n", "message": "x", "missing": {"fallback": 5}},
        {"name": "n", "message": "x", "theme": 5},
        {"name": "n", "message": "x", "else": 1},
        {"name": 5, "message": []},
    ],
)
async def test_what_is_no_snippet_is_refused_and_names_its_field(manager: Api, body: dict[str, Any]) -> None:
    refused = await manager.call("POST", "/v1/snippets", body)
    assert (refused.status, refused.body["code"]) == (422, "INVALID")
    assert refused.body["errors"][0]["field"]
    assert (await manager.ok("GET", "/v1/snippets"))["total"] == 0


async def test_an_unknown_variable_is_refused_with_its_name_and_place(manager: Api) -> None:
    refused = await manager.call("POST", "/v1/snippets", {"name": "n", "message": "Hi $contact.nickname"})
    assert (refused.status, refused.body["code"]) == (422, "UNKNOWN_VARIABLE")
    [fault] = refused.body["errors"]
    assert (fault["field"], fault["position"]) == ("message", 3)
    assert "contact.nickname" in fault["detail"]


async def test_a_name_is_there_once_however_it_is_written(manager: Api) -> None:
    await made(manager, name="Grüße  aus Köln")
    for name in ("grüße aus köln", " GRÜSSE AUS KÖLN ", "Gru\u0308ße aus Koln"):
        await manager.refused("POST", "/v1/snippets", 409, "NAME_TAKEN", {"name": name, "message": "x"})
    other = await made(manager, name="Other")
    await manager.refused(
        "PUT", f"/v1/snippets/{other['id']}", 409, "NAME_TAKEN", {"name": "Grüße aus Köln", "message": "x"}
    )
    assert (await manager.ok("GET", "/v1/snippets"))["total"] == 2


async def test_a_deleted_snippets_name_is_free_again(manager: Api) -> None:
    for _ in range(3):
        new = await made(manager, name="Once")
        assert (await manager.call("DELETE", f"/v1/snippets/{new['id']}")).status == 204
    assert (await manager.ok("GET", "/v1/snippets"))["total"] == 0


async def test_search_ranks_by_name_prefix_then_name_then_message(manager: Api, agent: Api) -> None:
    for name, message in (("about école", "x"), ("other", "text ECOLE"), ("École first", "x"), ("nothing", "x")):
        await made(manager, name=name, message=message)
    found = await agent.ok("GET", "/v1/snippets?q=ecole")
    assert [one["name"] for one in found["items"]] == ["École first", "about école", "other"]
    assert (found["total"], found["next"]) == (3, None)
    assert [one["name"] for one in (await agent.ok("GET", "/v1/snippets?q=ecole%20about"))["items"]] == ["about école"]


async def test_pages_hold_each_once_in_order_and_themes_are_counted(manager: Api, agent: Api) -> None:
    for number in range(23):
        await made(manager, name=f"n{number:02}", theme="even" if number % 2 == 0 else None)
    names: list[str] = []
    after = ""
    while True:
        page = await agent.ok("GET", f"/v1/snippets?limit=5&after={after}")
        names += [one["name"] for one in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert names == [f"n{number:02}" for number in range(23)]
    assert (await agent.ok("GET", "/v1/snippets?theme=even&limit=1"))["total"] == 12
    assert (await agent.ok("GET", "/v1/snippets/themes"))["items"] == [{"theme": "even", "count": 12}]
    for bad in ("x", "AAAA", "bnVsbA==", "WzEsMl0="):
        await agent.refused("GET", f"/v1/snippets?after={bad}", 400, "BAD_CURSOR")


async def test_a_change_is_found_at_once_on_another_replica(
    installation: Installation, manager: Api, workspace: str
) -> None:
    other = await installation.member(await installation.replica(), "agent", workspace)
    for number in range(5):
        new = await made(manager, name=f"word{number}")
        assert [one["id"] for one in (await other.ok("GET", f"/v1/snippets?q=word{number}"))["items"]] == [new["id"]]
        await manager.call("DELETE", f"/v1/snippets/{new['id']}")
        assert (await other.ok("GET", f"/v1/snippets?q=word{number}"))["items"] == []


async def test_the_limit_is_exact_under_concurrency_on_two_replicas(
    installation: Installation, base: str, manager: Api, workspace: str
) -> None:
    await installation.fill(workspace, MOST - 10)
    second = await installation.member(await installation.replica(), "manager", workspace)

    async def create(number: int) -> Any:
        """Again where the other replica was faster too often: 503, nothing was taken."""
        body = {"name": f"parallel {number}", "message": "x"}
        while (answer := await (manager, second)[number % 2].call("POST", "/v1/snippets", body)).status == 503:
            pass
        return answer

    answers = await asyncio.gather(*(create(number) for number in range(100)))
    new = [answer.body["id"] for answer in answers if answer.status == 201]
    refused = {(answer.status, answer.body["code"]) for answer in answers if answer.status != 201}
    assert (len(new), refused) == (10, {(409, "LIMIT_REACHED")})
    assert (await manager.ok("GET", "/v1/snippets?limit=1"))["total"] == MOST
    assert (await manager.call("DELETE", f"/v1/snippets/{new[0]}")).status == 204
    await made(manager)
    await manager.refused("POST", "/v1/snippets", 409, "LIMIT_REACHED", {"name": "n", "message": "x"})


async def test_the_stream_is_told_of_every_change_in_order(
    installation: Installation, manager: Api, workspace: str
) -> None:
    new = await made(manager, name="told")
    path = f"/v1/snippets/{new['id']}"
    await manager.ok("PUT", path, {"name": "told", "message": "again"})
    await manager.call("DELETE", path)

    async def told() -> list[tuple[str, int, str]]:
        records = [record for record in await installation.read(topics.WORKSPACE_EVENTS) if record.key]
        events = [json.loads(record.value or b"") for record in records if record.key == workspace.encode()]
        return [(event["type"], event["version"], event["data"]["snippet"]["message"]) for event in events]

    wanted = [
        ("relaydesk.snippet.saved.v1", 1, "Hello"),
        ("relaydesk.snippet.saved.v1", 2, "again"),
        ("relaydesk.snippet.removed.v1", 3, "again"),
    ]

    async def all_told() -> bool:
        return await told() == wanted

    await eventually(all_told, "three events")


async def known(agent: Api, contact: str) -> None:
    async def is_known() -> bool:
        body = {"message": "x", "contact_id": contact}
        return (await agent.call("POST", "/v1/snippets/preview", body)).status == 200

    await eventually(is_known, "the contact")


async def test_a_snippet_is_rendered_for_a_contact_and_counted(
    installation: Installation, manager: Api, agent: Api, workspace: str
) -> None:
    contact = await installation.knows(workspace, first_name="Ana $contact.email", email="ana@example.org", version=3)
    await known(agent, contact)
    new = await made(manager, message="Dear $contact.firstname <$contact.email>")
    for _ in range(2):
        rendered = await agent.ok("POST", f"/v1/snippets/{new['id']}/render", {"contact_id": contact})
    assert rendered == {
        "text": "Dear Ana $contact.email <ana@example.org>",
        "variables": [
            {"name": "contact.firstname", "value": "Ana $contact.email", "status": "ok"},
            {"name": "contact.email", "value": "ana@example.org", "status": "ok"},
        ],
        "contact_version": 3,
    }
    now = await agent.ok("GET", f"/v1/snippets/{new['id']}")
    assert (now["uses"], now["version"]) == (2, 1)
    assert now["used_at"] >= now["updated_at"]


async def test_what_is_missing_blocks_and_is_named_or_is_replaced(
    installation: Installation, manager: Api, agent: Api, workspace: str
) -> None:
    contact = await installation.knows(workspace, first_name="Ana")
    await known(agent, contact)
    texts = {"literal": "from $contact.country", "omit": "from ", "block": None, "abroad": "from abroad"}
    for policy, text in texts.items():
        missing = {"fallback": policy} if policy == "abroad" else policy
        new = await made(manager, message="from $contact.country", missing=missing)
        answer = await agent.call("POST", f"/v1/snippets/{new['id']}/render", {"contact_id": contact})
        if text is None:
            assert (answer.status, answer.body["code"]) == (409, "MISSING_VALUE")
            assert answer.body["variables"] == ["contact.country"]
            assert (await agent.ok("GET", f"/v1/snippets/{new['id']}"))["uses"] == 0
        else:
            assert (answer.status, answer.body["text"]) == (200, text)


async def test_a_preview_renders_what_is_not_saved_and_shows_what_is_missing(
    installation: Installation, agent: Api, workspace: str
) -> None:
    contact = await installation.knows(workspace)
    await known(agent, contact)
    shown = await agent.ok("POST", "/v1/snippets/preview", {"message": "x $contact.country", "contact_id": contact})
    assert shown["variables"] == [{"name": "contact.country", "value": None, "status": "missing"}]
    odd = {"message": "$contact.x", "contact_id": contact}
    await agent.refused("POST", "/v1/snippets/preview", 422, "UNKNOWN_VARIABLE", odd)


async def test_a_contact_that_is_not_known_here_is_404_and_never_a_half_empty_text(
    installation: Installation, manager: Api, agent: Api
) -> None:
    new = await made(manager)
    elsewhere = await installation.knows("elsewhere", first_name="Eve")
    for contact in (str(uuid.uuid4()), elsewhere, "", "../x"):
        await agent.refused("POST", f"/v1/snippets/{new['id']}/render", 404, "NOT_FOUND", {"contact_id": contact})


async def test_the_copy_keeps_the_newest_version_and_forgets_who_was_erased(
    installation: Installation, agent: Api, workspace: str
) -> None:
    async def name() -> Any:
        body = {"message": "$contact.firstname", "contact_id": contact}
        answer = await agent.call("POST", "/v1/snippets/preview", body)
        return answer.body["text"] if answer.status == 200 else answer.status

    for version in (2, 1, 3, 2):
        contact = await installation.knows(workspace, external_id="same", first_name=f"v{version}", version=version)

    async def is_newest() -> bool:
        return bool(await name() == "v3")

    await eventually(is_newest, "version 3")
    await installation.publish(topics.CONTACTS, f"{workspace}:{contact}", None)

    async def is_gone() -> bool:
        return bool(await name() == 404)

    await eventually(is_gone, "erased")


async def test_garbage_among_the_contacts_is_put_aside_and_the_next_one_is_known(
    installation: Installation, agent: Api, workspace: str
) -> None:
    await installation.publish(topics.CONTACTS, f"{workspace}:x", b"\xff{")
    await known(agent, await installation.knows(workspace))

    async def is_aside() -> bool:
        return any(record.value == b"\xff{" for record in await installation.read(CONTACTS_DLQ))

    await eventually(is_aside, "the dead letter")
