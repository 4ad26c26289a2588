"""The read model in memory: what the store keeps, for the fold alone. Not safe against two writers."""

from collections import Counter
from collections.abc import Sequence

from services.gateway.core import Arrival, ConversationState, Outcome
from services.gateway.fold import (
    Changes,
    Known,
    Row,
    RowFacts,
    RowId,
    StatusPatch,
    conversations_needed,
    fold,
    rows_needed,
)


class ReadModel:
    def __init__(self) -> None:
        self.conversations: dict[str, ConversationState] = {}
        self.rows: dict[RowId, Row] = {}
        self.statuses: dict[RowId, str] = {}
        self.counters: Counter[tuple[str, str | None, str]] = Counter()
        self.outcomes: dict[str, Outcome] = {}

    def known(self, batch: Sequence[Arrival]) -> Known:
        """Exactly what the fold says it needs, so that asking for too little shows."""
        keys = conversations_needed(batch) & self.conversations.keys()
        states = {key: self.conversations[key] for key in keys}
        rows = {ident: self.rows[ident] for ident in rows_needed(batch, states) if ident in self.rows}
        facts = {ident: RowFacts(row.causation_id, row.received) for ident, row in rows.items()}
        return Known(states, facts)

    def apply(self, batch: Sequence[Arrival]) -> Changes:
        changes = fold(batch, self.known(batch))
        self.conversations |= changes.conversations
        for key, seq in changes.erased.items():
            self.rows = {row: kept for row, kept in self.rows.items() if row[0] != key or row[1] >= seq}
            self.statuses = {row: status for row, status in self.statuses.items() if row[0] != key}
        self.rows |= changes.rows
        for (workspace, member), deltas in changes.counters.items():
            for name, delta in deltas.items():
                self.counters[workspace, member, name] += delta
        for patch in changes.patches:
            if isinstance(patch, StatusPatch):
                self.statuses[patch.row] = patch.status
        self.outcomes = changes.outcomes | self.outcomes
        return changes
