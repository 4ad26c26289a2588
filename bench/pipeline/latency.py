"""Percentiles of latencies, by nearest rank: every printed figure is one that occurred."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """Milliseconds."""

    samples: int
    p50: float
    p99: float
    p999: float
    most: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 < share <= 1) of the ascending values don't exceed."""
    return ordered[max(0, math.ceil(round(share * len(ordered), 9)) - 1)]


def spread(seconds: Sequence[float]) -> Spread | None:
    """None where nothing was measured."""
    if not seconds:
        return None
    ms = sorted(second * 1000 for second in seconds)
    return Spread(len(ms), percentile(ms, 0.5), percentile(ms, 0.99), percentile(ms, 0.999), ms[-1])
