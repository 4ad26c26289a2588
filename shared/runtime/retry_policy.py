"""What to do about an error of a handler. Pure: no clock, no waiting, no records."""

from dataclasses import dataclass
from enum import Enum, auto

from shared.runtime.engine_errors import is_away
from shared.runtime.faults import Fatal, Fenced, Poison


class Step(Enum):
    HOLD = auto()
    """Back off and try the same batch again, however often: what we need is away."""
    RETRY = auto()
    """Try the same batch again: perhaps a bug that passes."""
    ISOLATE = auto()
    """Find the culprit: one record at a time."""
    DEAD_LETTER = auto()
    """The record is known: move it to the dead-letter topic, go on with the rest."""
    RAISE = auto()
    """Not ours to mend."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits of patience. `hold_s` must stay below the group's poll interval: after it the records are polled anew."""

    tries: int = 3
    first_delay_s: float = 0.1
    longest_delay_s: float = 5.0
    hold_s: float = 60.0

    def step(self, error: Exception, bugs: int) -> Step:
        """`bugs` counts the failures of this batch that were bugs, this one included."""
        match error:
            case Fenced() | Fatal():
                return Step.RAISE
            case _ if is_away(error):
                return Step.HOLD
            case Poison(record=None):
                return Step.ISOLATE
            case Poison():
                return Step.DEAD_LETTER
            case _:
                return Step.RETRY if bugs < self.tries else Step.ISOLATE

    def delay_s(self, failures: int, jitter: float) -> float:
        """Seconds before the next try after `failures` in a row; `jitter` in [0, 1) takes away up to half."""
        full = min(self.longest_delay_s, self.first_delay_s * 2.0 ** min(failures - 1, 30))
        return full * (1 - jitter / 2)
