"""CPU seconds of processes and what they started, from /proc. Linux only."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    parent: int
    seconds: float


def parsed(stat: str, ticks: int = TICKS) -> Stat:
    """A line of /proc/PID/stat (man 5 proc). The name stands in brackets and may hold spaces and brackets itself."""
    fields = stat[stat.rindex(")") + 2 :].split()
    return Stat(int(fields[1]), sum(int(field) for field in fields[11:15]) / ticks)


def tree_seconds(stats: Mapping[int, Stat], roots: Iterable[int]) -> float:
    """CPU seconds of these processes and of all below them; dead children count with the parent that waited."""
    wanted = set(roots)
    while more := {pid for pid, stat in stats.items() if stat.parent in wanted} - wanted:
        wanted |= more
    return sum(stats[pid].seconds for pid in wanted if pid in stats)


def all_stats() -> dict[int, Stat]:
    stats = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stats[int(folder.name)] = parsed((folder / "stat").read_text())
            except OSError:
                continue
    return stats


def spent(groups: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """Name -> CPU seconds until now."""
    stats = all_stats()
    return {name: tree_seconds(stats, pids) for name, pids in groups.items()}


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before.get(name, 0.0) for name in after}
