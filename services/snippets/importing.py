"""Taking a whole file of snippets: rows whose name is there change that snippet, others are added. All or nothing."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from services.snippets.interchange import Row
from services.snippets.shelf import Draft, Snippet, changed
from services.snippets.store import NameTaken, SnippetStore, Stale
from shared.contracts.times import to_timestamp

TRIES = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file comes to, as the workspace is now."""

    added: list[Snippet]
    updated: list[Snippet]
    unchanged: int


class Busy(Exception):
    """Others keep changing the same snippets."""


class Importer:
    def __init__(self, store: SnippetStore) -> None:
        self._store = store

    async def plan(self, workspace: str, rows: list[Row], at: datetime) -> Plan:
        _, present = await self._store.contents(workspace)
        known = {snippet.draft.name_key: snippet for snippet in present}
        time = to_timestamp(at)
        added = [_new(workspace, row.draft, time) for row in rows if row.draft.name_key not in known]
        pairs = [(known[row.draft.name_key], row.draft) for row in rows if row.draft.name_key in known]
        updated = [after for before, draft in pairs if (after := changed(before, draft, time)) is not before]
        return Plan(added, updated, len(pairs) - len(updated))

    async def take(self, workspace: str, rows: list[Row], actor: str, at: datetime) -> Plan:
        """Full, Busy: nothing was taken."""
        for _ in range(TRIES):
            plan = await self.plan(workspace, rows, at)
            try:
                await self._store.take(workspace, (plan.added, plan.updated), actor, at)
            except (Stale, NameTaken):  # changed since the plan was made
                continue
            return plan
        raise Busy


def _new(workspace: str, draft: Draft, time: str) -> Snippet:
    return Snippet(workspace, str(uuid.uuid4()), draft, version=1, uses=0, updated_at=time)
