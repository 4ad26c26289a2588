"""Much that comes mixed, put aside on disk and taken up again group by group. A temporary file, gone with the process.

For commands that read whole topics: memory holds one group at a time, whatever there is.
"""

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

_CACHE_KIB = 64 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """A record's place and value, under the group's `key`."""

    key: str
    topic: str
    partition: int
    offset: int
    value: bytes


class Spool:
    """`with Spool() as spool:`; `put` all, then read `groups`. Blocks for as long as the disk takes."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: where the file lies for the time; by default where the system keeps temporary files."""
        self._folder = folder

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="relaydesk-", dir=self._folder)
        self._db = sqlite3.connect(Path(self._directory.name) / "spool", isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("CREATE TABLE kept (key TEXT, topic TEXT, partition INTEGER, place INTEGER, value BLOB)")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._directory.cleanup()

    def put(self, rows: Iterable[Kept]) -> None:
        values = ((row.key, row.topic, row.partition, row.offset, row.value) for row in rows)
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO kept VALUES (?, ?, ?, ?, ?)", values)
        self._db.execute("COMMIT")

    def groups(self) -> Iterator[tuple[str, list[Kept]]]:
        """(key, its rows: each topic's in the order of offsets), in the order of keys."""
        self._db.execute("CREATE INDEX IF NOT EXISTS grouped ON kept (key, topic, partition, place)")
        rows = self._db.execute("SELECT * FROM kept ORDER BY key, topic, partition, place")
        for key, group in groupby((Kept(*row) for row in rows), lambda row: row.key):
            yield key, list(group)

    def count(self) -> int:
        """How many keys there are."""
        [(number,)] = self._db.execute("SELECT count(DISTINCT key) FROM kept").fetchall()
        return int(number)
