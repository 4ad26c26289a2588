"""What routing keeps about one conversation, and what it was told. Plain values; knows no rule and no database."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.routing.core import State
from services.routing.memory import Item
from shared.runtime.records import Outgoing, Record

_FRAME_BYTES = 200
"""What an entry takes beside its value: cause, names, headers."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to publish, and its cause: the offset of a source. `at_ms`: when it was decided, Unix milliseconds."""

    source: str
    offset: int
    at_ms: int
    record: Outgoing

    @property
    def size(self) -> int:
        """Bytes in the document, roughly."""
        return _FRAME_BYTES + len(self.record.value or b"") + sum(len(k) + len(v) for k, v in self.record.headers)


@dataclass(frozen=True, slots=True)
class Document:
    """`version` 0: not stored yet. `applied`: source -> the highest offset folded into `state`. `state` is None where
    only commands have come, which found no conversation."""

    key: str
    version: int = 0
    applied: Mapping[str, int] = field(default_factory=dict)
    pending: tuple[Entry, ...] = ()
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """An input and where it came from. `source` names topic, incarnation and partition; `key` is its document's."""

    record: Record
    source: str
    key: str
    item: Item


def source_name(topic: str, incarnation: str, partition: int) -> str:
    return f"{topic}/{incarnation}/{partition}"


def advanced(applied: Mapping[str, int], source: str, offset: int) -> dict[str, int]:
    """With `offset` applied. A former incarnation of the same topic goes: its id is random and never comes back."""
    if source in applied:
        return {**applied, source: offset}
    topic, incarnation, _ = source.split("/")
    former = [name for name in applied if name.startswith(f"{topic}/") and name.split("/")[1] != incarnation]
    return {name: at for name, at in applied.items() if name not in former} | {source: offset}
