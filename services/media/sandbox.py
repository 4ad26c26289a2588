"""Starts the process that checks a file, and makes a verdict of however it ends."""

import asyncio
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from services.media.scratch import scratch
from shared.runtime.faults import Transient

PROGRAM = "services.media.inspecting.program"
WALL_S = 60.0
NICENESS = 19
"""Of the process: all else goes first."""

MAX_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` None: it may be kept. `detail` is for our logs."""

    code: str | None = None
    detail: str = ""
    duration_s: float | None = None
    waveform: tuple[float, ...] | None = None


class NoVerdict(Exception):
    """The process said nothing of the file, perhaps for reasons of ours: try again. `code` is for where that doesn't
    help."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class _Answer(BaseModel):
    code: Literal["TYPE_MISMATCH", "UNREADABLE", "TOO_COMPLEX", "TOO_LONG", "UNSAFE_ARCHIVE"] | None = None
    detail: Annotated[str, Field(max_length=200)] = ""
    duration_s: Annotated[float, Field(ge=0, le=10**6)] | None = None
    waveform: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=64, max_length=64)] | None = None


class Sandbox:
    """`environment`: all that the process gets to know; `wall_s`: how long it may take; `at_once`: processes."""

    def __init__(
        self, environment: Mapping[str, str], wall_s: float = WALL_S, program: str = PROGRAM, at_once: int = 1
    ) -> None:
        self._room = asyncio.Semaphore(at_once)
        self._environment = environment
        self._wall_s = wall_s
        self._program = program

    async def inspect(self, file: IO[bytes], content_type: str, renditions: Mapping[str, IO[bytes]] = {}) -> Verdict:
        """Of an open file, from its beginning. `renditions`: what to make of it, by their names, into open files.

        A crash or a bomb is a verdict, too. NoVerdict where it took too long, or gave up by itself; Transient where no
        process can be started.
        """
        file.seek(0)
        async with self._room:
            return await self._inspected(file, content_type, renditions)

    async def _inspected(self, file: IO[bytes], content_type: str, renditions: Mapping[str, IO[bytes]]) -> Verdict:
        with scratch() as answer:  # a pipe that nobody reads on would keep the process's end from us
            status = await self._ended(file, answer, content_type, renditions)
            answer.seek(0)
            return _verdict(status, answer.read(MAX_ANSWER))

    async def _ended(
        self, file: IO[bytes], answer: IO[bytes], content_type: str, renditions: Mapping[str, IO[bytes]]
    ) -> int | None:
        """The exit status; None where it took too long."""
        passed = {name: one.fileno() for name, one in renditions.items()}
        words = [f"{name}={number}" for name, number in passed.items()]
        command = (sys.executable, "-P", "-m", self._program, content_type, str(NICENESS), *words)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=file,
                stdout=answer,
                stderr=asyncio.subprocess.DEVNULL,
                pass_fds=list(passed.values()),
                env=dict(self._environment),
            )
        except OSError as error:
            raise Transient(f"no process for checking a file: {type(error).__name__}") from None
        try:
            async with asyncio.timeout(self._wall_s):
                return await process.wait()
        except TimeoutError:
            return None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _verdict(status: int | None, said: bytes) -> Verdict:
    """Whatever reads hostile files may be theirs by now: its answer is checked as anything from outside. NoVerdict."""
    if status is None:
        raise NoVerdict("TOO_COMPLEX", "not checked in time")
    if status > 0:
        raise NoVerdict("UNREADABLE", f"checking it ended with {status}")
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return Verdict("TOO_COMPLEX", "more CPU or memory than allowed")
    try:
        answer = _Answer.model_validate_json(said) if status == 0 else None
    except ValidationError:
        answer = None
    if answer is None:
        return Verdict("UNREADABLE", f"checking it ended with {status}")
    waveform = None if answer.waveform is None else tuple(answer.waveform)
    return Verdict(answer.code, answer.detail, answer.duration_s, waveform)
