"""`relaydesk run` as its users meet it: the info file, a second installation beside the first, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.engines.ports import LOOPBACK, is_free
from shared.runtime.group_loop import GroupOptions
from shared.testing.api import Api, answers_well
from shared.testing.eventually import eventually
from shared.testing.system import System, free_port_base, launch, stop, wait_ready
from tests.e2e.processes import alive, family

SERVICES = {"ingest", "routing", "gateway", "dispatch", "snippets", "media"}
PEOPLE = {"owner", "manager", "agent", "agent2", "stranger"}
SECOND_START_WITHIN_S = GroupOptions().session_timeout_s
"""Or the members of the run before still had their partitions."""


def ports(info: dict[str, Any]) -> set[int]:
    urls = [info["api"], info["stream"], info["webchat"], info["bot"], info["engines"]["s3"]]
    urls += [f"kafka://{info['engines']['kafka']}"]
    urls += [service[kind] for service in info["services"].values() for kind in ("http", "probe")]
    return {urlsplit(url).port or 0 for url in urls}


def test_the_info_file_has_all_that_other_programs_rely_on(system: System) -> None:
    info = system.info
    assert set(info) >= {"api", "stream", "console", "webchat", "workspace", "tokens", "members", "channel"}
    assert info["workspace"] == "demo"
    assert set(info["tokens"]) == set(info["members"]) == PEOPLE
    assert set(info["channel"]) >= {"id", "secret", "outbound_url"}
    assert set(info["services"]) == SERVICES
    assert all(set(service) == {"pid", "probe", "http"} for service in info["services"].values())
    assert len({service["pid"] for service in info["services"].values()}) == len(SERVICES)
    assert set(info["engines"]["pids"]) == {"kafka", "mongo", "s3"}
    assert alive(set(info["engines"]["pids"].values())) == set(info["engines"]["pids"].values())
    assert (system.folder / "info.json").stat().st_mode & 0o077 == 0, "it holds tokens"


@pytest.mark.parametrize("who", sorted(PEOPLE))
async def test_every_token_signs_its_member_in(system: System, who: str) -> None:
    info = system.info
    async with Api(info["api"], info["tokens"][who]) as api:
        me = await api.ok("GET", "/v1/me")
    assert me["id"] == info["members"][who]


async def test_every_service_answers_its_probes(system: System) -> None:
    for service in system.info["services"].values():
        for path in ("/startupz", "/healthz", "/readyz", "/metrics"):
            await answers_well(service["probe"], path)


async def test_console_and_web_chat_show_a_page(system: System) -> None:
    for base, path in ((system.info["console"], ""), (system.info["webchat"], "")):
        async with Api(base, None) as browser:
            answer = await browser.call("GET", f"/{path}")
            assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, "text/html")


async def test_the_documents_of_the_api_are_there_to_read_and_to_load(system: System) -> None:
    async with Api(system.info["api"], None) as browser:
        page = await browser.call("GET", "/docs/")
        assert (page.status, page.headers["content-type"].split(";")[0]) == (200, "text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert (await browser.call("GET", "/docs")).status == 308
        assert (await browser.call("GET", "/docs/openapi.json")).body["openapi"] == "3.1.0"
        topics = (await browser.call("GET", "/docs/asyncapi.json")).body
    assert topics["asyncapi"] == "3.0.0"
    for name, service in system.info["services"].items():
        async with Api(service["http"], None) as own:
            document = (await own.call("GET", "/openapi.json")).body
            assert (await own.call("GET", "/asyncapi")).body == topics
        assert document["openapi"].startswith("3.1")
        assert all(o["tags"] == [name] for operations in document["paths"].values() for o in operations.values())


async def test_a_service_that_is_killed_is_back_at_once_with_a_new_pid_in_the_file(system: System) -> None:
    killed = system.kill("snippets")
    assert await eventually(lambda: system.pid("snippets") != killed, "the new pid is in the file", timeout=20)
    assert alive({system.pid("snippets")})
    await answers_well(system.info["services"]["snippets"]["probe"])


def test_a_data_folder_in_use_is_refused_in_one_line(system: System) -> None:
    second = refused("--data", str(system.folder / "data"), "--port-base", str(free_port_base()))
    assert f"is in use by process {system.process.pid}" in second


def test_ports_in_use_are_refused_in_one_line(system: System, tmp_path: Path) -> None:
    base = urlsplit(system.info["api"]).port
    assert f"port {base} is already taken" in refused("--data", str(tmp_path), "--port-base", str(base))


def refused(*options: str) -> str:
    command = [sys.executable, "-m", "relaydesk", "run", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data of a second installation, with all services in one process."""
    path = tmp_path_factory.mktemp("second")
    yield path
    assert not list(path.glob("info.json")), "what has ended is not announced"


def webchat_channel(folder: Path) -> str:
    known = json.loads((folder / "data" / "demo.json").read_text())
    return f"/v1/channels/{known['webchat']['id']}"


async def test_two_installations_live_side_by_side_and_sigterm_ends_one_alone(system: System, folder: Path) -> None:
    second = launch(folder)
    try:
        wait_ready(second)
        info = second.info
        assert not ports(info) & ports(system.info)
        assert len({service["pid"] for service in info["services"].values()}) == 1
        (folder / "channel").write_text(info["channel"]["id"])
        async with Api(info["api"], info["tokens"]["owner"]) as owner:
            elsewhere = {"settings": {"outbound_url": "http://127.0.0.1:9/moved", "kept": "x"}, "bot": None}
            await owner.ok("PATCH", webchat_channel(folder), elsewhere)
        ours, theirs = family(second.process.pid), family(system.process.pid)
        assert len(ours) >= 8
    finally:
        stop(second)
    assert second.process.returncode == 0
    await eventually(lambda: not alive(ours), "what was told to die is dead", timeout=5)
    assert all(is_free(port) for port in ports(info))
    assert alive(theirs) == theirs


async def test_the_next_start_is_quick_finds_its_data_and_even_sigkill_leaves_nothing(folder: Path) -> None:
    again = launch(folder)
    try:
        assert wait_ready(again) < SECOND_START_WITHIN_S
        info = again.info
        assert info["channel"]["id"] == (folder / "channel").read_text()
        async with Api(info["api"], info["tokens"]["owner"]) as owner:
            channel = await owner.ok("GET", webchat_channel(folder))
        assert channel["settings"] == {"outbound_url": f"{info['webchat']}deliveries", "kept": "x"}
        assert channel["bot"] == {"kind": "webhook", "settings": {"url": info["bot"]}}
        ours = family(again.process.pid)
    finally:
        again.process.kill()
        again.process.wait()
        (folder / "info.json").unlink()
    await eventually(lambda: not alive(ours), "nothing is left", timeout=30)


async def test_ctrl_c_while_starting_stops_what_has_started(tmp_path: Path) -> None:
    starting = launch(tmp_path)
    await eventually(lambda: "kafka is ready" in starting.log_tail(1_000_000), "the engines have started", timeout=60)
    ours = family(starting.process.pid)
    os.kill(starting.process.pid, signal.SIGINT)
    starting.process.wait(60)
    await eventually(lambda: not alive(ours), "what was told to die is dead", timeout=5)
    assert not (tmp_path / "info.json").exists()


async def test_an_engine_that_dies_is_started_again_on_its_port(system: System) -> None:
    before = system.info["engines"]["pids"]["s3"]
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        engines = json.loads((system.folder / "info.json").read_text())["engines"]
        with socket.create_connection((LOOPBACK, urlsplit(engines["s3"]).port or 0), 1):
            return bool(engines["pids"]["s3"] != before)

    await eventually(back, "S3 is back")
