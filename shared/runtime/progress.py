"""How far a long piece of work is: said by who does it, shown by who asked for it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """`total` is about right only: more may come meanwhile."""

    phase: str
    done: int
    total: int


Tell = Callable[[Progress], None]
