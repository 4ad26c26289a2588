"""`relaydesk doctor --deployment` as `helm test` runs it: one line a thing, and 1 where one of them is wrong."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from shared.engines.ports import LOOPBACK
from shared.testing.eventually import eventually
from shared.testing.system import System

Environment = dict[str, str]


@pytest.fixture
def environment(system: System) -> Environment:
    engines = system.info["engines"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAYDESK_")}
    return kept | {"RELAYDESK_KAFKA": engines["kafka"], "RELAYDESK_MONGO": engines["mongo"]}


def doctor(environment: Environment, *probes: str) -> tuple[int, list[str]]:
    command = [sys.executable, "-m", "relaydesk", "doctor", "--deployment", *probes]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, (done.stdout + done.stderr).splitlines()


async def doctor_says(environment: Environment, right: Callable[[int, list[str]], bool], *probes: str) -> list[str]:
    """Asked again where something did not answer in its 5 seconds, as a person would."""

    async def said() -> list[str]:
        status, lines = await asyncio.to_thread(doctor, environment, *probes)
        assert right(status, lines), lines
        return lines

    return await eventually(said, "the doctor is right", every=1.0)


def probes(system: System) -> list[str]:
    return [f"{name}={service['probe']}" for name, service in system.info["services"].items()]


async def test_all_is_well(system: System, environment: Environment) -> None:
    lines = await doctor_says(environment, lambda status, lines: status == 0, *probes(system))
    assert [line.split(":")[0].split()[1] for line in lines][:3] == ["settings", "kafka", "mongo"]
    assert len(lines) == 3 + 6
    assert all(line.startswith("ok") for line in lines)


def failures(lines: list[str]) -> dict[str, str]:
    return {line.split()[1].rstrip(":"): line for line in lines if line.startswith("FAIL")}


async def test_what_is_wrong_is_named_and_the_rest_is_looked_at(system: System, environment: Environment) -> None:
    ingest = system.info["services"]["ingest"]["probe"]
    environment |= {
        "RELAYDESK_LOGLEVEL": "x",
        "RELAYDESK_TOPIC_PREFIX": "other.",
        "RELAYDESK_MONGO": "mongodb://127.0.0.1:1",
    }
    asked = (f"routing={ingest}", "media=http://127.0.0.1:1", f"ingest={ingest}")
    wrong = {"settings", "kafka", "mongo", "routing", "media"}
    lines = await doctor_says(environment, lambda status, lines: status == 1 and set(failures(lines)) == wrong, *asked)
    failed = failures(lines)
    assert "RELAYDESK_LOGLEVEL" in failed["settings"]
    assert "topic channel.inbound is missing" in failed["kafka"]
    assert "MongoDB" in failed["mongo"]
    assert "not the probe port of routing" in failed["routing"]
    assert "does not answer" in failed["media"]


@pytest.mark.parametrize("word", ["ingest", "ingest=9081", "billing=http://127.0.0.1:1"])
def test_a_wrong_word_is_refused(environment: Environment, word: str) -> None:
    status, lines = doctor(environment, word)
    assert (status, "expected SERVICE=URL" in lines[-1]) == (1, True)


class _Late(BaseHTTPRequestHandler):
    """Of another version, by a clock that is an hour late."""

    date = "Wed, 01 Jan 2020 00:00:00 GMT"

    def do_GET(self) -> None:
        body = b'{"service": "media", "version": "0.0.1", "started": true}'
        self.send_response_only(200)
        if self.date:
            self.send_header("Date", self.date)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def late() -> Iterator[str]:
    server = HTTPServer((LOOPBACK, 0), _Late)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{LOOPBACK}:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_clock_that_differs_is_said(environment: Environment, late: str) -> None:
    [line] = [said for said in doctor(environment, f"media={late}")[1] if "media" in said]
    assert "the clock of" in line


def test_a_version_that_differs_is_said(environment: Environment, late: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Late, "date", "")
    [line] = [said for said in doctor(environment, f"media={late}")[1] if "media" in said]
    assert "version 0.0.1" in line
