"""`python -m services.media.inspecting.program`: the file is standard input, the verdict a line of JSON.

The limits come first, so that they hold for all that reads the file: CPU seconds, address space, no more written than
an answer, no core dumps; and a low priority. Whoever started this watches the clock, and takes any other end than a
verdict for a refusal.
"""

import json
import os
import resource
import sys
from typing import Any, BinaryIO

CPU_S = 20
ADDRESS_SPACE = 2 << 30
MAX_ANSWER = 64 * 1024


def limit() -> None:
    os.nice(10)
    for what, most in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_FSIZE, MAX_ANSWER),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def verdict(file: BinaryIO, content_type: str) -> dict[str, Any]:
    """`{"duration_s"}` of what may be kept, `{"code", "detail"}` of what may not."""
    from services.media.inspecting import archives, pictures, recordings, signature, texts
    from services.media.inspecting.refusal import Refusal
    from shared.contracts.media_types import media_type_of

    known = media_type_of(content_type)
    assert known is not None, "only allowed types come here"
    duration = None
    try:
        signature.check(file, known)
        if known.family == "picture":
            pictures.check(file, known)
        elif known.family == "recording":
            duration = recordings.check(file, known)
        elif known.family == "archive":
            archives.check(file, known)
        elif known.family == "text":
            texts.check(file)
    except Refusal as refusal:
        return {"code": refusal.code, "detail": str(refusal)}
    except MemoryError:
        return {"code": "TOO_COMPLEX", "detail": "more memory than allowed"}
    return {"duration_s": duration}


if __name__ == "__main__":
    limit()
    sys.stdout.write(json.dumps(verdict(sys.stdin.buffer, sys.argv[1])))
