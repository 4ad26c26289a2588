"""How much a proof does: enough to notice in `make test`, all that was promised in `make prove`."""

import os
from typing import TypeVar

T = TypeVar("T")

FULL = os.environ.get("PROVE") == "full"


def at_scale(full: T, reduced: T) -> T:
    return full if FULL else reduced
