"""Snippets as CSV over HTTP: all or nothing."""

import asyncio
import json
import uuid
from typing import Any

import aiohttp

from services.snippets.shelf import MOST
from shared.testing.api import Api
from tests.integration.snippets.installation import Installation

HEADER = "name,message,theme,missing\n"


async def imported(
    installation: Installation, base: str, workspace: str, text: str, dry_run: bool = False, role: str = "manager"
) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {installation.token(role, workspace)}", "Content-Type": "text/csv"}
    url = f"{base}/v1/snippets/import?dry_run={str(dry_run).lower()}"
    async with aiohttp.ClientSession() as session, session.post(url, data=text.encode(), headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def exported(installation: Installation, base: str, workspace: str) -> str:
    headers = {"Authorization": f"Bearer {installation.token('agent', workspace)}"}
    async with aiohttp.ClientSession() as session, session.get(f"{base}/v1/snippets/export", headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/csv")
        return await answer.text()


async def test_a_file_is_taken_as_a_dry_run_said(
    installation: Installation, base: str, manager: Api, workspace: str
) -> None:
    await manager.ok("POST", "/v1/snippets", {"name": "old", "message": "old"})
    await manager.ok("POST", "/v1/snippets", {"name": "same", "message": "same"})
    text = HEADER + "new,Hello $contact.name,t,omit\nOLD,changed,,\nsame,same,,\n"
    wanted = {"rows": 3, "added": 1, "updated": 1, "unchanged": 1, "errors": []}
    assert await imported(installation, base, workspace, text, dry_run=True) == (200, wanted)
    assert (await manager.ok("GET", "/v1/snippets"))["total"] == 2
    assert await imported(installation, base, workspace, text) == (200, wanted)
    items = (await manager.ok("GET", "/v1/snippets"))["items"]
    assert {(one["name"], one["message"], one["version"]) for one in items} == {
        ("new", "Hello $contact.name", 1),
        ("OLD", "changed", 2),
        ("same", "same", 1),
    }
    again = {"rows": 3, "added": 0, "updated": 0, "unchanged": 3, "errors": []}
    assert await imported(installation, base, workspace, await exported(installation, base, workspace)) == (200, again)


async def test_a_dry_run_names_the_first_row_for_which_there_is_no_room(
    installation: Installation, base: str, manager: Api, workspace: str
) -> None:
    many = HEADER + "".join(f"snippet {n},x,,\n" for n in range(4_998))
    assert (await imported(installation, base, workspace, many))[0] == 200
    text = HEADER + "snippet 1,changed,,\na,x,,\nb,x,,\nc,x,,\nd,x,,\n"
    status, said = await imported(installation, base, workspace, text, dry_run=True)
    assert (status, said["added"], said["updated"]) == (200, 4, 1)
    assert [(one["line"], one["code"]) for one in said["errors"]] == [(5, "LIMIT_REACHED")]
    status, problem = await imported(installation, base, workspace, text)
    assert (status, problem["code"]) == (409, "LIMIT_REACHED")
    fits = HEADER + "snippet 1,changed,,\na,x,,\nb,x,,\n"
    assert (await imported(installation, base, workspace, fits, dry_run=True))[1]["errors"] == []
    assert (await imported(installation, base, workspace, fits))[0] == 200


async def test_one_fault_refuses_the_whole_file_and_names_its_line(
    installation: Installation, base: str, manager: Api, workspace: str
) -> None:
    text = HEADER + "a,x,,\nb,$contact.shoe,,\nc,x,,\n"
    status, problem = await imported(installation, base, workspace, text)
    assert (status, problem["code"]) == (422, "INVALID")
    assert [(one["line"], one["field"], one["code"]) for one in problem["errors"]] == [
        (3, "message", "UNKNOWN_VARIABLE")
    ]
    assert (await imported(installation, base, workspace, text, dry_run=True))[1]["errors"] == problem["errors"]
    assert (await manager.ok("GET", "/v1/snippets"))["total"] == 0


async def test_agents_do_not_import_and_other_types_are_refused(
    installation: Installation, base: str, manager: Api, workspace: str
) -> None:
    assert (await imported(installation, base, workspace, HEADER, role="agent"))[0] == 403
    await manager.refused("POST", "/v1/snippets/import?dry_run=true", 415, "UNSUPPORTED_MEDIA_TYPE", {"name": "x"})
    await manager.refused("POST", "/v1/snippets/import", 422, "INVALID", {"name": "x"})


async def test_a_file_that_does_not_fit_leaves_nothing(
    installation: Installation, base: str, manager: Api, workspace: str
) -> None:
    await installation.fill(workspace, MOST - 5)
    text = HEADER + "".join(f"{uuid.uuid4().hex},x,,\n" for _ in range(6))
    status, problem = await imported(installation, base, workspace, text)
    assert (status, problem["code"]) == (409, "LIMIT_REACHED")
    assert (await manager.ok("GET", "/v1/snippets?limit=1"))["total"] == MOST - 5


async def test_files_taken_at_the_same_time_are_taken_whole_or_not_at_all(
    installation: Installation, base: str, manager: Api, workspace: str
) -> None:
    await installation.fill(workspace, MOST - 250)
    other = await installation.replica()
    texts = [HEADER + "".join(f"{file}-{row},x,,\n" for row in range(100)) for file in range(4)]

    async def taken(at: int) -> int:
        """Again where the other replica was faster too often: 503, nothing was taken."""
        while (status := (await imported(installation, (base, other)[at % 2], workspace, texts[at]))[0]) == 503:
            pass
        return status

    answers = await asyncio.gather(*(taken(at) for at in range(4)))
    assert sorted(answers) == [200, 200, 409, 409]
    assert (await manager.ok("GET", "/v1/snippets?limit=1"))["total"] == MOST - 50


async def test_a_long_import_says_how_far_it_is(
    installation: Installation, base: str, manager: Api, workspace: str
) -> None:
    text = HEADER + "".join(f"name {number},text,,\n" for number in range(1_200))
    lines = await streamed(installation, base, workspace, text)
    progress = [line["progress"] for line in lines[:-1]]
    assert [(one["phase"], one["done"], one["total"]) for one in progress] == [
        ("reading", 500, None),
        ("reading", 1_000, None),
        ("writing", 500, 1_200),
        ("writing", 1_000, 1_200),
        ("writing", 1_200, 1_200),
    ]
    assert lines[-1] == {"result": {"rows": 1_200, "added": 1_200, "updated": 0, "unchanged": 0, "errors": []}}
    assert (await manager.ok("GET", "/v1/snippets?limit=1"))["total"] == 1_200


async def test_a_long_import_that_is_refused_says_so_in_its_last_line(
    installation: Installation, base: str, manager: Api, workspace: str
) -> None:
    (line,) = await streamed(installation, base, workspace, HEADER + "a,$contact.shoe,,\n")
    assert (line["problem"]["status"], line["problem"]["code"]) == (422, "INVALID")
    assert (await manager.ok("GET", "/v1/snippets"))["total"] == 0


async def streamed(installation: Installation, base: str, workspace: str, text: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {installation.token('manager', workspace)}", "Content-Type": "text/csv"}
    headers["Accept"] = "application/x-ndjson"
    url = f"{base}/v1/snippets/import?dry_run=false"
    async with aiohttp.ClientSession() as session, session.post(url, data=text.encode(), headers=headers) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
        return [json.loads(line) async for line in answer.content]
