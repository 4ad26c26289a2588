"""Files for the time of one job.

Small ones are in memory: checking runs at a low priority, and who is put aside while it writes to a disk may hold what
others wait for there.
"""

import os
import sys
import tempfile
from contextlib import AbstractContextManager
from typing import BinaryIO, cast

SMALL = 16 << 20
"""Bytes."""


def scratch(limit: int = SMALL) -> AbstractContextManager[BinaryIO]:
    """An open file without a name, for at most `limit` bytes."""
    if limit <= SMALL and sys.platform == "linux":
        return cast(AbstractContextManager[BinaryIO], open(os.memfd_create("scratch"), "w+b"))
    return cast(AbstractContextManager[BinaryIO], tempfile.TemporaryFile())
