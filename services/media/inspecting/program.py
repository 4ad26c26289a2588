"""`python -m services.media.inspecting.program TYPE NICENESS [NAME=FD …]`: a file is standard input, a line of JSON the
verdict.

Renditions go into open files, by their descriptors: `ogg` and `m4a` of a recording, `thumb` of a picture.

The limits come first, so that they hold for all that reads the file: CPU seconds, address space, no more written than
a rendition, no core dumps; and the priority. When all is loaded and nothing is read yet, the process is confined to
what it has open. Whoever started this watches the clock, and takes any other end than a verdict for a refusal.
"""

import json
import os
import resource
import sys
from typing import BinaryIO

CPU_S = 40
ADDRESS_SPACE = 2 << 30
MAX_WRITTEN = 16 << 20
"""Of a rendition."""


def limit(niceness: int) -> None:
    os.nice(niceness)
    for what, most in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_FSIZE, MAX_WRITTEN),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def main() -> None:
    limit(int(sys.argv[2]))
    from services.media.inspecting import confinement, verdicts

    words = (word.split("=") for word in sys.argv[3:])
    opened: dict[str, BinaryIO] = {name: open(int(number), "r+b") for name, number in words}  # noqa: SIM115 - they end with the process
    confinement.confine()
    found = verdicts.verdict(sys.stdin.buffer, sys.argv[1], opened)
    for file in opened.values():
        file.flush()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
