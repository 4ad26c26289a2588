"""The processes of this machine, as the kernel lists them."""

from pathlib import Path


def family(pid: int) -> set[int]:
    """The process, its children, and theirs."""
    children: dict[int, set[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except FileNotFoundError:
            continue
        children.setdefault(parent, set()).add(int(stat.parent.name))
    found, open_ends = {pid}, [pid]
    while open_ends:
        new = children.get(open_ends.pop(), set()) - found
        found |= new
        open_ends += new
    return found


def alive(pids: set[int]) -> set[int]:
    def state(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return "gone"

    return {pid for pid in pids if state(pid) not in ("gone", "Z")}


def running(pids: set[int], script: str) -> int | None:
    """The one of them that runs this file (the end of its path)."""

    def command(pid: int) -> list[str]:
        try:
            return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            return []

    return next((pid for pid in pids if any(word.endswith(script) for word in command(pid))), None)
