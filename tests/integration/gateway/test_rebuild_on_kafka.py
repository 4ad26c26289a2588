"""`relaydesk projection rebuild` beside a gateway at work, and the switch to what it made."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.testing.api import Api
from shared.testing.eventually import eventually
from tests.integration.gateway.installation import Installation, Running, known

NAME = "new"
pytestmark = pytest.mark.timeout(300)  # it starts the command several times, and two replicas


@asynccontextmanager
async def command(installation: Installation, *words: str, **differs: str) -> AsyncIterator[asyncio.subprocess.Process]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("RELAYDESK_")}
    inherited["PYTHONFAULTHANDLER"] = "1"
    environment = inherited | installation.environment() | {f"RELAYDESK_{k.upper()}": v for k, v in differs.items()}
    program = [sys.executable, "-m", "relaydesk", "projection", "rebuild", *words]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*program, env=environment, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        if process.returncode is None:  # it should have ended: SIGABRT has it say where it is
            process.send_signal(signal.SIGABRT)
            _, errors = await process.communicate()
            sys.stderr.write(errors.decode())
        await process.wait()


async def said(process: asyncio.subprocess.Process, text: str) -> str:
    """Everything up to the line that has `text`."""
    assert process.stdout is not None
    heard = ""
    async with asyncio.timeout(60):
        while text not in heard:
            line = (await process.stdout.readline()).decode()
            assert line, f"it ended after: {heard}"
            heard += line
    return heard


async def complaint(process: asyncio.subprocess.Process) -> str:
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    return errors.decode()


async def shown(api: Api, ident: str) -> list[Any]:
    """What a member sees, without the position."""
    pages = [await api.ok("GET", f"/v1/conversations?{query}") for query in ("limit=200", "q=ada+HÉLLO", "view=mine")]
    thread = await api.ok("GET", f"/v1/conversations/{ident}/messages")
    return [*(page["items"] for page in pages), thread, await api.ok("GET", "/v1/counters")]


async def sessions_noted(installation: Installation) -> set[Any]:
    """Of the command that makes the new model: transactions that it may have left open."""
    row = await installation.db["sessions"].find_one({"_id": f"rebuild-{NAME}"})
    return set(row["ids"]) if row else set()


async def test_replicas_go_over_to_a_rebuilt_model_and_nothing_is_lost(
    installation: Installation, replica: Running, agent: Api, workspace: str
) -> None:
    people = [await installation.says(workspace, f"customer-{n}", "héllo", "second") for n in range(20)]
    for ident in people:
        await known(agent, ident, 4)
    key = {"Idempotency-Key": "once"}
    first = await agent.call("POST", f"/v1/conversations/{people[0]}/messages", {"text": "an answer"}, headers=key)
    await agent.ok("POST", f"/v1/conversations/{people[1]}/read", {"up_to_seq": 3})

    async with command(installation, NAME) as dying:
        assert dying.stdout is not None
        await dying.stdout.readline()
        dying.send_signal(signal.SIGKILL)
    left_open = await sessions_noted(installation)
    assert left_open
    await installation.says(workspace, "customer-2", "meanwhile")
    async with command(installation, NAME, "--follow") as following:
        assert "is as new as the log" in await said(following, "following")
        assert not left_open & await sessions_noted(installation), "ended before it began"
        news = await installation.says(workspace, "customer-late", "héllo from late")
        await known(agent, news, 3)
        switched = await installation.gateway(NAME)
        elsewhere = await installation.member(switched.base, "grace", workspace)
        await known(elsewhere, news, 3)

        async def same() -> bool:
            return await shown(elsewhere, people[0]) == await shown(agent, people[0])

        await eventually(same, "both read models to show the same")
        again = await elsewhere.call(
            "POST", f"/v1/conversations/{people[0]}/messages", {"text": "an answer"}, headers=key
        )
        assert (again.status, again.body) == (first.status, first.body)
        for api in (agent, elsewhere):  # each replica keeps its own model: a member reads their writes on both
            sent = await api.reply(people[3], "to you")
            for reader in (agent, elsewhere):
                state = await reader.ok("GET", f"/v1/conversations/{people[3]}?min_seq={sent.body['seq']}")
                assert state["seq"] >= sent.body["seq"]
        following.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(following.wait(), 60) == 0
    await eventually(same, "both to show the same without the command")
    await installation.says(workspace, "customer-4", "more")
    await known(elsewhere, people[4], 5)
    await eventually(same, "both to show what came later")


async def test_the_model_that_is_shown_is_not_overwritten(installation: Installation) -> None:
    async with command(installation, NAME, "--fresh", gateway_read_model=NAME) as refused:
        assert (
            await complaint(refused)
            == f"relaydesk: `{NAME}` is the read model that RELAYDESK_GATEWAY_READ_MODEL names: choose another name\n"
        )


async def test_without_its_engines_it_says_where_it_looked_for_them(installation: Installation) -> None:
    async with command(installation, NAME, mongo="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300") as lost:
        assert "RELAYDESK_MONGO say where to look" in await complaint(lost)
