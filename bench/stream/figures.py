"""The bench's arithmetic. Pure."""

from collections.abc import Sequence
from statistics import median as _median


def per_cpu_second(deliveries: int, cpu_seconds: float) -> float:
    return deliveries / cpu_seconds


def median(values: Sequence[float]) -> float:
    return float(_median(values))


def each(before: int, after: int, count: int) -> float:
    """What one of `count` equal things takes, from totals."""
    return (after - before) / count


def us_per_socket_second(cpu_seconds: float, sockets: int, seconds: float) -> float:
    """Microseconds of CPU that one socket takes in one second."""
    return cpu_seconds * 1e6 / (sockets * seconds)
