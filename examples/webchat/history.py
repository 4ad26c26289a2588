"""What the chat remembers, in one SQLite file: visitors, the lines they see, and events not yet taken by Relaydesk.

Every change of a line gets a new `rev`; a page that names the last `rev` it saw is sent all it missed.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TABLES = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS visitors (id TEXT PRIMARY KEY, name TEXT);
CREATE TABLE IF NOT EXISTS lines (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, rev INTEGER NOT NULL, visitor TEXT NOT NULL, id TEXT NOT NULL,
    author TEXT NOT NULL, name TEXT, text TEXT, attachments TEXT NOT NULL, at TEXT NOT NULL, state TEXT NOT NULL,
    UNIQUE (visitor, id));
CREATE INDEX IF NOT EXISTS lines_by_visitor ON lines (visitor, rev);
CREATE INDEX IF NOT EXISTS lines_by_rev ON lines (rev);
CREATE TABLE IF NOT EXISTS outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, event TEXT NOT NULL, visitor TEXT, line TEXT);
"""
_BEFORE = {"sent": ("waiting",), "refused": ("waiting",), "delivered": ("new",), "read": ("new", "delivered")}


@dataclass(frozen=True)
class Line:
    """One message of a chat. `author`: visitor, agent or bot.

    A visitor's is `waiting`, then `sent` (or `refused`); an answer is `new`, then `delivered`, then `read`.
    """

    id: str
    visitor: str
    author: str
    name: str | None
    text: str | None
    attachments: list[dict[str, Any]]
    at: str
    state: str
    seq: int = 0
    rev: int = 0


@dataclass(frozen=True)
class Event:
    """Something to tell Relaydesk; `id` is its `webhook-id`, the same at every try."""

    id: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Waiting:
    """The event whose turn it is; `line` of `visitor` is the one whose state depends on it."""

    n: int
    event: Event
    visitor: str | None
    line: str | None


class History:
    """Not for several threads. Every method is one transaction in a local file: a fraction of a millisecond."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(_TABLES)

    def close(self) -> None:
        self._db.close()

    def knows(self, visitor: str) -> bool:
        return self._db.execute("SELECT 1 FROM visitors WHERE id = ?", (visitor,)).fetchone() is not None

    def name_of(self, visitor: str) -> str | None:
        row = self._db.execute("SELECT name FROM visitors WHERE id = ?", (visitor,)).fetchone()
        return row["name"] if row else None

    def rename(self, visitor: str, name: str, event: Event) -> None:
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO visitors VALUES (?, ?)", (visitor, name))
            self._queue(event, None, None)

    def add(self, line: Line, event: Event | None = None) -> bool:
        """Keep a line and the event it causes. False where the visitor has a line of this id: nothing is done."""
        row = (line.visitor, line.id, line.author, line.name, line.text, json.dumps(line.attachments), line.at)
        with self._db:
            self._db.execute("INSERT OR IGNORE INTO visitors VALUES (?, NULL)", (line.visitor,))
            added = self._db.execute(
                "INSERT OR IGNORE INTO lines (rev, visitor, id, author, name, text, attachments, at, state)"
                " VALUES ((SELECT coalesce(max(rev), 0) + 1 FROM lines), ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, line.state),
            ).rowcount
            if added and event:
                self._queue(event, line.visitor, line.id)
        return bool(added)

    def seen(self, visitor: str, line: str, state: str, event: Event) -> bool:
        """An answer was delivered or read. False where that is not news: nothing is done."""
        with self._db:
            news = self._raise(visitor, line, state)
            if news:
                self._queue(event, None, None)
        return news

    def since(self, visitor: str, rev: int) -> list[Line]:
        """Lines that are new or changed after `rev`, in the order of their changes."""
        rows = self._db.execute("SELECT * FROM lines WHERE visitor = ? AND rev > ? ORDER BY rev", (visitor, rev))
        return [Line(**{**row, "attachments": json.loads(row["attachments"])}) for row in map(dict, rows)]

    def next_waiting(self) -> Waiting | None:
        row = self._db.execute("SELECT * FROM outbox ORDER BY n LIMIT 1").fetchone()
        if row is None:
            return None
        return Waiting(row["n"], Event(row["id"], json.loads(row["event"])), row["visitor"], row["line"])

    def settle(self, waiting: Waiting, state: str) -> None:
        """The event is `sent`, or `refused` for good."""
        with self._db:
            self._db.execute("DELETE FROM outbox WHERE n = ?", (waiting.n,))
            if waiting.visitor and waiting.line:
                self._raise(waiting.visitor, waiting.line, state)

    def _raise(self, visitor: str, line: str, state: str) -> bool:
        before = _BEFORE[state]
        query = (
            "UPDATE lines SET state = ?, rev = (SELECT max(rev) + 1 FROM lines)"
            f" WHERE visitor = ? AND id = ? AND state IN ({', '.join('?' * len(before))})"
        )
        return self._db.execute(query, (state, visitor, line, *before)).rowcount > 0

    def _queue(self, event: Event, visitor: str | None, line: str | None) -> None:
        row = (event.id, json.dumps(event.body), visitor, line)
        self._db.execute("INSERT INTO outbox (id, event, visitor, line) VALUES (?, ?, ?, ?)", row)
