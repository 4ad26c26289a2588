"""`relaydesk doctor`: what this machine has and lacks, and whether what runs over a data folder is well."""

import json
import platform
import re
import shutil
import sys
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from relaydesk.installation import DataLock
from relaydesk.readiness import answers
from shared.engines.kafka import INSTALL_HINT, jars
from shared.engines.local import CACHE
from shared.engines.mongo import mongod_binary
from shared.engines.process import EngineError, run_tool
from shared.engines.s3 import rclone_binary

OLDEST_PYTHON = (3, 11)
OLDEST_JAVA = 17


Look = Callable[[], object]
"""What is well, in words; raises Ailment where it is not."""


class Ailment(Exception):
    """What is wrong and what to do, in one line."""


def examine(data: Path) -> int:
    """Print a line for each thing looked at; 1 when something is wrong."""
    return report([*_of_machine(), *_of_installation(data)])


def report(looks: Iterable[tuple[str, Look]]) -> int:
    """Print a line for each; 1 when something is wrong."""
    faults = 0
    for name, look in looks:
        try:
            print(f"ok    {name}: {look()}")
        except (Ailment, EngineError) as error:
            faults += 1
            print(f"FAIL  {name}: {error}")
    return 1 if faults else 0


def _of_machine() -> list[tuple[str, Look]]:
    return [("python", _python), ("java", _java), ("kafka", _kafka), ("mongod", mongod_binary), ("s3", rclone_binary)]


def _python() -> str:
    if sys.version_info < OLDEST_PYTHON:
        raise Ailment(f"{platform.python_version()} is too old: 3.11 or newer is needed")
    return platform.python_version()


def _java() -> str:
    if shutil.which("java") is None:
        raise Ailment(f"not found: {INSTALL_HINT}")
    said = run_tool(["java", "-version"]).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < OLDEST_JAVA:
        raise Ailment(f"{OLDEST_JAVA} or newer is needed: {INSTALL_HINT}")
    return said.splitlines()[0]


def _kafka() -> str:
    if jars(CACHE).exists():
        return f"its jars are in {jars(CACHE)}"
    if shutil.which("mvn") is None:
        raise Ailment(f"its jars are not here yet and Maven (`mvn`), which fetches them, was not found: {INSTALL_HINT}")
    return "its jars are not here yet; Maven will fetch them"


def _of_installation(data: Path) -> Iterator[tuple[str, Look]]:
    holder, info = DataLock(data).holder(), data / "info.json"
    yield "installation", lambda: f"process {holder} runs over {data}" if holder else f"nothing runs over {data}"
    if holder is None or not info.exists():
        return
    for name, service in json.loads(info.read_text())["services"].items():
        yield name, _service_check(service["probe"])


def _service_check(probe: str) -> Callable[[], str]:
    def look() -> str:
        port = urllib.parse.urlsplit(probe).port or 0
        for path in ("/healthz", "/readyz"):
            if not answers(port, path):
                raise Ailment(f"{probe}{path} does not answer 200")
        return f"ready at {probe}"

    return look
