"""A child process that its parent cannot leave behind. Knows nothing of what the child does."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
LOG_LIMIT_BYTES = 10 * 1024 * 1024


class EngineError(Exception):
    """What keeps an engine or another child from running; the message is for the person at the terminal."""


def dies_with_parent() -> Callable[[], None]:
    """A `preexec_fn`: the kernel kills the child when the *thread* that started it ends, be it by SIGKILL.

    So start children from a thread that lives as long as they shall. Outside Linux there is no such call: a no-op.
    """
    parent = os.getpid()
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None).prctl

    def in_child() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return in_child


class Child:
    """One process in a group of its own, so that Ctrl-C reaches the supervisor alone; can be started again."""

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.command = [str(word) for word in command]
        self.log = log
        self.env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> None:
        """Start it, output appended to the log; returns at once. Raises EngineError when there is no such program."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        _rotate(self.log)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=None if self.env is None else dict(self.env),
                    process_group=0,
                    preexec_fn=dies_with_parent(),  # two system calls: safe beside threads
                )
            except OSError as error:
                raise EngineError(f"{self.name}: cannot start {self.command[0]}: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """The process id, also after the end; raises EngineError before the first start."""
        if self._process is None:
            raise EngineError(f"{self.name} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def output(self) -> str:
        """What this start has written so far."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def terminate(self) -> None:
        """Ask it to end; `stop` waits for it."""
        if self._process is not None and self.running:
            self._process.terminate()

    def stop(self, grace: float = 10.0) -> None:
        """SIGTERM, up to `grace` seconds, then SIGKILL; returns when it and its group are gone. May be repeated."""
        self.terminate()
        self._reap(grace)

    def kill(self) -> None:
        """SIGKILL, as a fault; returns when it is gone."""
        self._reap(0.0)

    def _reap(self, grace: float) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._wait_unreaped(grace)
        # while the leader is not reaped nobody else can have its group id
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _wait_unreaped(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            time.sleep(0.02)


def run_tool(command: Sequence[str], env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, its output kept; it dies with us. Blocks; a failure is in `returncode`."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=env,
        preexec_fn=dies_with_parent(),
    )


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


def wait_until(ready: Callable[[], bool], child: Child, seconds: float) -> None:
    """Poll `ready` until it holds. EngineError with the end of the log when the child ends first or time is over."""
    deadline = time.monotonic() + seconds
    while not ready():
        if not child.running:
            raise EngineError(f"{child.name} ended with status {child.exit_code} while starting; {_last_words(child)}")
        if time.monotonic() > deadline:
            raise EngineError(f"{child.name} was not ready within {seconds:g} s; {_last_words(child)}")
        time.sleep(0.05)


def _last_words(child: Child) -> str:
    lines = [line.strip() for line in child.output().splitlines() if line.strip()]
    return f"see {child.log}" + (f", which ends: {lines[-1][-300:]}" if lines else "")
