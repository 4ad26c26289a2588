"""Taking a whole file of snippets: rows whose name is there change that snippet, others are added. All or nothing."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal

from services.snippets.interchange import Row
from services.snippets.shelf import MOST, Draft, Snippet, changed
from services.snippets.store import NameTaken, SnippetStore, Stale, Writing
from shared.contracts.times import to_timestamp

TRIES = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file comes to, as the workspace is now. `beyond`: the line of the first row for which there is no room."""

    added: list[Snippet]
    updated: list[Snippet]
    unchanged: int
    beyond: int | None = None


class Busy(Exception):
    """Others keep changing the same snippets."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows; `total` None: not known yet."""

    phase: Literal["reading", "writing"]
    done: int
    total: int | None


Tell = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Nobody wants to know."""


class Importer:
    def __init__(self, store: SnippetStore) -> None:
        self._store = store

    async def plan(self, workspace: str, rows: list[Row], at: datetime) -> Plan:
        _, present = await self._store.contents(workspace)
        known = {snippet.draft.name_key: snippet for snippet in present}
        time = to_timestamp(at)
        new = [row for row in rows if row.draft.name_key not in known]
        added = [_new(workspace, row.draft, time) for row in new]
        pairs = [(known[row.draft.name_key], row.draft) for row in rows if row.draft.name_key in known]
        updated = [after for before, draft in pairs if (after := changed(before, draft, time)) is not before]
        beyond = next((row.line for row in new[max(0, MOST - len(present)) :]), None)
        return Plan(added, updated, len(pairs) - len(updated), beyond)

    async def take(self, workspace: str, rows: list[Row], actor: str, at: datetime, tell: Tell = silent) -> Plan:
        """Full, Busy: nothing was taken."""
        for _ in range(TRIES):
            plan = await self.plan(workspace, rows, at)
            total = len(plan.added) + len(plan.updated)
            write = Writing(actor, at, partial(_tell_writing, tell, total))
            try:
                await self._store.take(workspace, (plan.added, plan.updated), write)
            except (Stale, NameTaken):  # changed since the plan was made
                continue
            return plan
        raise Busy


def _tell_writing(tell: Tell, total: int, done: int) -> None:
    tell(Progress("writing", done, total))


def _new(workspace: str, draft: Draft, time: str) -> Snippet:
    return Snippet(workspace, str(uuid.uuid4()), draft, version=1, uses=0, updated_at=time)
