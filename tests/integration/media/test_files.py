"""The library over HTTP, files going straight to a real S3: who may what, what is refused, what a URL is good for."""

import asyncio
import random
import re
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.media.working import CLAIM_LASTS
from shared.contracts import topics
from shared.contracts.outbound import MediaRecord
from shared.contracts.wire import decode_as, decode_event
from shared.testing.api import Api
from shared.testing.eventually import eventually
from shared.testing.uploads import announced, fetch, settled, uploaded
from tests.integration.media.installation import QUOTA, Installation, unique
from tests.unit.media import files
from tests.unit.media.files import png

PICTURE = png(64)


async def location(api: Api, path: str) -> str:
    answer = await api.call("GET", path)
    assert answer.status == 302, answer
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    return answer.headers["location"]


async def test_a_file_goes_in_and_comes_out_as_it_was(manager: Api, agent: Api) -> None:
    made = await uploaded(manager, PICTURE, "catálogo 2026.png", description="  What we sell ")
    file = await settled(agent, made)
    assert file == {
        "id": made["id"],
        "media_id": made["media_id"],
        "name": "catálogo 2026.png",
        "description": "What we sell",
        "content_type": "image/png",
        "size": len(PICTURE),
        "state": "ready",
        "code": None,
        "added_by": "manager-1",
        "added_at": file["added_at"],
        "version": 3,
    }
    got = await fetch(await location(agent, f"/v1/files/{made['id']}/content"))
    assert (got.status, got.body, got.headers["content-type"]) == (200, PICTURE, "image/png")
    assert got.headers["content-disposition"] == "inline; filename*=UTF-8''cat%C3%A1logo%202026.png"
    media = await agent.ok("GET", f"/v1/media/{made['media_id']}")
    assert (media["state"], media["purpose"], media["attachable"]) == ("ready", "attachment", True)
    assert [(one["name"], one["content_type"]) for one in media["renditions"]] == [
        ("original", "image/png"),
        ("thumb", "image/webp"),
    ]
    same = await fetch(await location(agent, f"/v1/media/{made['media_id']}/content?rendition=original"))
    assert same.body == PICTURE
    await agent.refused("GET", f"/v1/media/{made['media_id']}/content?rendition=ogg", 404, "NOT_FOUND")
    small = await fetch(await location(agent, f"/v1/media/{made['media_id']}/content?rendition=thumb"))
    assert (small.body[8:12], small.headers["content-type"]) == (b"WEBP", "image/webp")


async def test_the_library_is_searched_and_paged_newest_first(manager: Api, agent: Api) -> None:
    for name in ("Précios.png", "menu.png", "horario.png"):
        await settled(manager, await uploaded(manager, PICTURE, name, description=f"about {name[:3]}"))
    await announced(manager, PICTURE, "never uploaded.png")
    names = [file["name"] for file in (await agent.ok("GET", "/v1/files"))["items"]]
    assert names == ["horario.png", "menu.png", "Précios.png"]
    for query, found in (("precios", ["Précios.png"]), ("ABOUT men", ["menu.png"]), (".*", []), ("nothing", [])):
        items = (await agent.ok("GET", f"/v1/files?q={query.replace(' ', '%20')}"))["items"]
        assert [file["name"] for file in items] == found
    first = await agent.ok("GET", "/v1/files?limit=2")
    second = await agent.ok("GET", f"/v1/files?limit=2&after={first['next']}")
    assert ([len(page["items"]) for page in (first, second)], second["next"]) == ([2, 1], None)
    await agent.refused("GET", "/v1/files?after=x", 400, "BAD_CURSOR")
    await agent.refused("GET", "/v1/files?limit=201", 422, "INVALID")


async def test_agents_use_the_library_and_do_not_fill_it(manager: Api, agent: Api) -> None:
    body = {"name": "x.png", "content_type": "image/png", "size": 10}
    await agent.refused("POST", "/v1/files", 403, "FORBIDDEN", body)
    made = await uploaded(manager, PICTURE)
    path = f"/v1/files/{made['id']}"
    await settled(manager, made)
    await agent.refused("PATCH", path, 403, "FORBIDDEN", {"name": "y.png"})
    await agent.refused("DELETE", path, 403, "FORBIDDEN")
    await agent.refused("POST", f"{path}/complete", 403, "FORBIDDEN")


@pytest.mark.parametrize("seed", range(3))
async def test_no_id_of_another_workspace_exists(
    installation: Installation, base: str, manager: Api, agent: Api, seed: int
) -> None:
    made = await uploaded(manager, PICTURE)
    waiting = await announced(manager, PICTURE)
    await settled(manager, made)
    strangers = [await installation.member(base, role, unique()) for role in ("owner", "manager")]
    pick = random.Random(seed)
    for _ in range(40):
        ident, stranger = pick.choice([made["id"], waiting["id"]]), pick.choice(strangers)
        method, tail, body = pick.choice(
            [
                ("GET", f"/v1/files/{ident}", None),
                ("GET", f"/v1/files/{ident}/content", None),
                ("PATCH", f"/v1/files/{ident}", {"name": "mine.png"}),
                ("DELETE", f"/v1/files/{ident}", None),
                ("POST", f"/v1/files/{ident}/complete", None),
                ("GET", f"/v1/media/{ident}", None),
                ("GET", f"/v1/media/{ident}/content", None),
            ]
        )
        await stranger.refused(method, tail, 404, "NOT_FOUND", body)
    for stranger in strangers:
        assert (await stranger.ok("GET", "/v1/files"))["items"] == []
    assert [file["id"] for file in (await agent.ok("GET", "/v1/files"))["items"]] == [made["id"]]


async def test_what_is_announced_badly_is_refused_with_the_field(manager: Api) -> None:
    good = {"name": "x.png", "content_type": "image/png", "size": 10}
    for changed, status, code, field in (
        ({"name": ""}, 422, "BAD_FILENAME", "name"),
        ({"name": "../../x.png"}, 422, "BAD_FILENAME", "name"),
        ({"name": "gpj\u202egnp.exe"}, 422, "BAD_FILENAME", "name"),
        ({"name": "x" * 300}, 422, "BAD_FILENAME", "name"),
        ({"content_type": "application/x-msdownload"}, 422, "TYPE_NOT_ALLOWED", "content_type"),
        ({"content_type": "text\r\nX: y"}, 422, "TYPE_NOT_ALLOWED", "content_type"),
        ({"size": 21 << 20}, 413, "FILE_TOO_LARGE", "size"),
        ({"content_type": "image/svg+xml", "size": 10**12}, 413, "FILE_TOO_LARGE", "size"),
        ({"size": 0}, 422, "INVALID", "size"),
        ({"size": -1}, 422, "INVALID", "size"),
        ({"size": "10"}, 422, "INVALID", "size"),
        ({"size": 1.5}, 422, "INVALID", "size"),
        ({"description": "x" * 1_001}, 422, "INVALID", "description"),
        ({"owner": "me"}, 422, "INVALID", "owner"),
    ):
        problem = await manager.refused("POST", "/v1/files", status, code, {**good, **changed})
        assert [fault["field"] for fault in problem["errors"]] == [field], problem
    assert (await manager.ok("GET", "/v1/files"))["items"] == []


@pytest.mark.parametrize(
    ("content", "content_type", "code"),
    [
        (files.HTML, "image/png", "TYPE_MISMATCH"),
        (files.PROGRAM, "application/pdf", "TYPE_MISMATCH"),
        (png()[:30], "image/png", "UNREADABLE"),
        (files.PLAYLIST, "audio/ogg", "UNREADABLE"),
        (files.packed("../x"), "application/zip", "UNSAFE_ARCHIVE"),
        (png(40_000), "image/png", "TOO_COMPLEX"),
    ],
)
async def test_a_file_that_lies_is_refused_and_says_why(
    manager: Api, agent: Api, content: bytes, content_type: str, code: str
) -> None:
    made = await uploaded(manager, content, "a.bin", content_type=content_type)
    file = await settled(manager, made)
    assert (file["state"], file["code"]) == ("rejected", code)
    problem = await agent.refused("GET", f"/v1/files/{made['id']}/content", 409, "MEDIA_REJECTED")
    assert problem["reason"] == code
    await manager.refused("POST", f"/v1/files/{made['id']}/complete", 409, "MEDIA_REJECTED")
    assert (await agent.ok("GET", "/v1/files"))["items"] == []
    assert [one["code"] for one in (await manager.ok("GET", "/v1/files"))["items"]] == [code]


@pytest.mark.parametrize("size", [len(PICTURE) - 1, len(PICTURE) + 1])
async def test_a_lie_about_the_size_is_found(manager: Api, size: int) -> None:
    file = await settled(manager, await uploaded(manager, PICTURE, size=size))
    assert (file["state"], file["code"]) == ("rejected", "SIZE_MISMATCH")


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml"])
async def test_what_could_run_in_a_browser_is_only_ever_downloaded(manager: Api, content_type: str) -> None:
    made = await uploaded(manager, files.SVG, "drawing.svg", content_type=content_type)
    assert (await settled(manager, made))["state"] == "ready"
    got = await fetch(await location(manager, f"/v1/files/{made['id']}/content"))
    assert (got.body, got.headers["content-type"]) == (files.SVG, "application/octet-stream")
    assert got.headers["content-disposition"].startswith("attachment;")


async def test_without_an_upload_there_is_nothing_to_complete(manager: Api) -> None:
    made = await announced(manager, PICTURE)
    await manager.refused("POST", f"/v1/files/{made['id']}/complete", 409, "NOT_UPLOADED")
    await manager.refused("GET", f"/v1/files/{made['id']}/content", 409, "MEDIA_NOT_READY")
    assert (await fetch(made["upload"]["url"], "PUT", PICTURE)).status == 200
    assert (await manager.call("POST", f"/v1/files/{made['id']}/complete")).status == 202


async def test_of_many_who_complete_at_once_one_does(manager: Api) -> None:
    made = await announced(manager, PICTURE)
    await fetch(made["upload"]["url"], "PUT", PICTURE)
    path = f"/v1/files/{made['id']}/complete"
    answers = await asyncio.gather(*(manager.call("POST", path) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [202] + [409] * 7
    assert {answer.body["code"] for answer in answers if answer.status == 409} == {"ALREADY_COMPLETE"}
    assert (await settled(manager, made))["version"] == 3
    await manager.refused("POST", path, 409, "ALREADY_COMPLETE")


async def test_what_is_uploaded_after_the_end_changes_nothing(manager: Api, agent: Api) -> None:
    made = await uploaded(manager, PICTURE)
    await settled(agent, made)
    assert (await fetch(made["upload"]["url"], "PUT", png(32))).status == 200
    got = await fetch(await location(agent, f"/v1/files/{made['id']}/content"))
    assert got.body == PICTURE


async def test_a_signed_url_is_good_for_what_it_says_and_nothing_else(manager: Api, agent: Api) -> None:
    made = await uploaded(manager, PICTURE)
    await settled(agent, made)
    url = await location(agent, f"/v1/files/{made['id']}/content")
    query = urlsplit(url).query
    assert 0 < int(query.split("X-Amz-Expires=")[1].split("&")[0]) <= 300
    tampered = re.sub(r"(?<=Signature=)[0-9a-f]{64}", lambda match: match[0][::-1], url)
    assert tampered != url
    assert (await fetch(tampered)).status == 403
    assert (await fetch(url.replace("X-Amz-Expires=300", "X-Amz-Expires=900"))).status == 403
    other = url.replace(urlsplit(url).path, urlsplit(made["upload"]["url"]).path)
    assert (await fetch(other)).status == 403
    for method in ("PUT", "DELETE"):
        assert (await fetch(url, method, b"x" if method == "PUT" else None)).status == 403
    assert (await fetch(made["upload"]["url"])).status == 403
    assert (await fetch(url.partition("?")[0])).status in (400, 403)
    assert (await fetch(url)).body == PICTURE


async def test_the_quota_holds_whoever_comes_at_once_and_what_is_refused_frees_it(
    installation: Installation, base: str, manager: Api
) -> None:
    other = await installation.replica()
    elsewhere = await installation.member(other, "manager", unique())
    size = QUOTA // 8
    body = {"name": "x.png", "content_type": "image/png", "size": size}
    answers = await asyncio.gather(*(manager.call("POST", "/v1/files", body) for _ in range(20)))
    made = [answer.body for answer in answers if answer.status == 201]
    assert len(made) == 8
    assert {answer.body["code"] for answer in answers if answer.status != 201} == {"QUOTA_EXCEEDED"}
    await elsewhere.ok("POST", "/v1/files", body)
    await fetch(made[0]["upload"]["url"], "PUT", PICTURE)
    await manager.call("POST", f"/v1/files/{made[0]['id']}/complete")
    assert (await settled(manager, made[0]))["code"] == "SIZE_MISMATCH"
    await manager.ok("POST", "/v1/files", body)
    await manager.refused("POST", "/v1/files", 409, "QUOTA_EXCEEDED", {**body, "size": 1})
    assert (await manager.call("DELETE", f"/v1/files/{made[1]['id']}")).status == 204
    await manager.ok("POST", "/v1/files", body)


async def test_a_file_is_renamed_unless_somebody_else_did_so_before(manager: Api, agent: Api) -> None:
    made = await uploaded(manager, PICTURE, "old.png", description="first")
    await settled(manager, made)
    path = f"/v1/files/{made['id']}"
    read = await manager.call("GET", path)
    assert read.headers["etag"] == '"3"'
    changed = await manager.ok("PATCH", path, {"name": "new.png"}, {"If-Match": '"3"'})
    assert (changed["name"], changed["description"], changed["version"]) == ("new.png", "first", 4)
    stale = await manager.call("PATCH", path, {"name": "third.png"}, {"If-Match": '"3"'})
    assert (stale.status, stale.body["code"]) == (412, "PRECONDITION_FAILED")
    stale = await manager.call("DELETE", path, None, {"If-Match": '"3"'})
    assert stale.status == 412
    assert (await manager.ok("PATCH", path, {"name": "new.png"}))["version"] == 4
    assert (await manager.ok("PATCH", path, {"description": None}))["description"] is None
    await manager.refused("PATCH", path, 422, "BAD_FILENAME", {"name": "a/b"})
    await manager.refused("PATCH", path, 422, "INVALID", {"size": 3})
    got = await fetch(await location(agent, f"{path}/content"))
    assert "new.png" in got.headers["content-disposition"]


async def test_a_deleted_file_is_out_of_the_library_and_stays_where_it_was_sent(
    installation: Installation, manager: Api, agent: Api
) -> None:
    made = await uploaded(manager, PICTURE)
    await settled(manager, made)
    path = f"/v1/files/{made['id']}"
    assert (await manager.call("DELETE", path)).status == 204
    for method, tail in (("GET", ""), ("GET", "/content"), ("DELETE", ""), ("POST", "/complete")):
        await manager.refused(method, path + tail, 404, "NOT_FOUND")
    assert (await agent.ok("GET", f"/v1/media/{made['media_id']}"))["attachable"] is False
    assert (await fetch(await location(agent, f"/v1/media/{made['media_id']}/content"))).body == PICTURE


async def test_everything_is_told_once_and_in_order(installation: Installation, manager: Api, workspace: str) -> None:
    made = await uploaded(manager, PICTURE, "a.png")
    await settled(manager, made)
    path = f"/v1/files/{made['id']}"
    await manager.ok("PATCH", path, {"name": "b.png"})
    await manager.call("DELETE", path)
    lie = await uploaded(manager, files.HTML, "c.png")
    await settled(manager, lie)

    async def told() -> list[Any] | None:
        records = await installation.read(topics.WORKSPACE_EVENTS)
        events = [decode_event(record.value or b"") for record in records]
        own = [event for event in events if event.workspace == workspace]
        return own if len(own) >= 5 else None

    events = await eventually(told, "the events")
    assert [(event.type.removeprefix("relaydesk."), event.subject, event.version) for event in events] == [
        ("media.ready.v1", made["id"], 3),
        ("file.added.v1", made["id"], 3),
        ("file.added.v1", made["id"], 4),
        ("file.removed.v1", made["id"], 5),
        ("media.rejected.v1", lie["id"], 3),
    ]
    assert {event.actor for event in events} == {"agent:manager-1"}
    rows = [decode_as(MediaRecord, one.value) for one in await installation.read(topics.MEDIA) if one.value]
    own = [row.media for row in rows if row.media.id == made["id"]]
    assert [(media.version, media.state, media.attachable) for media in own] == [
        (1, "uploading", False),
        (2, "processing", False),
        (3, "ready", True),
        (4, "ready", True),
        (5, "ready", False),
    ]


async def test_a_small_file_is_ready_in_a_moment(manager: Api) -> None:
    await settled(manager, await uploaded(manager, PICTURE))
    begun = time.monotonic()
    await settled(manager, await uploaded(manager, PICTURE, f"{uuid.uuid4()}.png"))
    assert time.monotonic() - begun < CLAIM_LASTS.total_seconds(), "nobody had to take it over"
