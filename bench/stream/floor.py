"""The C floor: `floor.c`, compiled where there is a compiler, writing to sockets that this process has open."""

import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_SOURCE = Path(__file__).with_name("floor.c")


def compiled(folder: Path) -> Path | None:
    """The program, or None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    program = folder / "floor"
    subprocess.run([compiler, "-O2", "-o", program, _SOURCE], check=True)
    return program


class Floor:
    """Inherits the sockets, so that the sink is the same one."""

    def __init__(self, program: Path, sockets: Sequence[int], frame: bytes) -> None:
        pipe = subprocess.PIPE
        command = [str(program), *map(str, sockets)]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, pass_fds=sockets, bufsize=0)
        self._write(struct.pack("=I", len(frame)) + frame)

    def send(self) -> float:
        """One frame to every socket; answers the CPU seconds that it took."""
        self._write(b"x")
        assert self._process.stdout is not None
        answer = self._process.stdout.read(8)
        if len(answer) != 8:
            raise RuntimeError("the C floor ended: a socket took no whole frame")
        spent: int = struct.unpack("=q", answer)[0]
        return spent / 1e9

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()
