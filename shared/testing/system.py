"""A whole Relaydesk as an operator starts it: `relaydesk run --split` in a temporary folder, driven from outside."""

import atexit
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from shared.testing.api import answers_well
from shared.testing.eventually import eventually

PROJECT = Path(__file__).parents[2]
READY_WITHIN_S = 180.0
STOPPED_WITHIN_S = 60.0
PORTS_NEEDED = 40


class System:
    """A running system. `info` is the info file (DESIGN 12), read anew on each access."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self.folder = folder
        self.process = process

    @property
    def info(self) -> dict[str, Any]:
        info: dict[str, Any] = json.loads((self.folder / "info.json").read_text())
        return info

    def pid(self, service: str) -> int:
        return int(self.info["services"][service]["pid"])

    def kill(self, service: str) -> int:
        """SIGKILL a service; -> the pid that died."""
        pid = self.pid(service)
        os.kill(pid, signal.SIGKILL)
        return pid

    async def restarted(self, service: str) -> None:
        """SIGKILL, and wait until it serves again: what is killed sooner has done no work to be interrupted in."""
        pid = self.kill(service)
        await eventually(lambda: self.pid(service) != pid, f"{service} has a new pid")
        await answers_well(self.info["services"][service]["probe"])

    def log_tail(self, size: int = 3000) -> str:
        return (self.folder / "run.log").read_bytes()[-size:].decode(errors="replace")


def free_port_base() -> int:
    """A port with free neighbours, which no other process of tests is given as long as this one lives.

    A race with other programs shows as a clear error of the engines.
    """
    for base in range(21000, 32000, PORTS_NEEDED):
        if _reserve(base) and all(_is_free(base + offset) for offset in range(PORTS_NEEDED)):
            return base
    raise RuntimeError("no free range of ports between 21000 and 32000")


def _reserve(base: int) -> bool:
    """A lock that ends with this process; its empty file stays. Another user's is taken."""
    with ExitStack() as until_known, suppress(OSError):
        file = until_known.enter_context(_lock_file(base).open("w"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        atexit.register(until_known.pop_all().close)
        return True
    return False


def _lock_file(base: int) -> Path:
    return Path(tempfile.gettempdir()) / f"relaydesk-test-ports-{base}.lock"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def launch(folder: Path, *options: str, port_base: int | None = None) -> System:
    """Start `relaydesk run` and return at once; wait with `wait_ready`."""
    command = [sys.executable, "-m", "relaydesk", "run", "--data", str(folder / "data"), "--info"]
    command += [str(folder / "info.json"), "--port-base", str(port_base or free_port_base()), *options]
    with (folder / "run.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
    return System(folder, process)


def wait_ready(system: System, within: float = READY_WITHIN_S) -> float:
    """-> seconds until the info file stood there. AssertionError with the end of the log otherwise."""
    started = time.monotonic()
    while not (system.folder / "info.json").exists():
        elapsed = time.monotonic() - started
        if system.process.poll() is not None or elapsed > within:
            raise AssertionError(f"`relaydesk run` not ready after {elapsed:.0f} s: {system.log_tail()}")
        time.sleep(0.05)
    return time.monotonic() - started


def stop(system: System, within: float = STOPPED_WITHIN_S) -> None:
    """SIGTERM and wait. AssertionError where it takes longer; nothing is left running either way."""
    if system.process.poll() is None:
        system.process.terminate()
    try:
        system.process.wait(within)
    except subprocess.TimeoutExpired:
        system.process.kill()
        system.process.wait()
        raise AssertionError(f"SIGTERM did not stop it within {within:g} s: {system.log_tail()}") from None


@contextmanager
def running(folder: Path, *options: str) -> Iterator[System]:
    system = launch(folder, *options)
    try:
        wait_ready(system)
        yield system
    finally:
        stop(system)
