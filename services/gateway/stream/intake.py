"""Records of `workspace.events` -> entries: the one place that reads their headers. The value is never parsed.

Must not know rings or sockets: the live reader and the reader of old ranges use it alike, each with its own `Repeats`.
"""

from dataclasses import dataclass
from datetime import datetime

from services.gateway.stream import frames
from services.gateway.stream.cursor import Cursors
from services.gateway.stream.entry import Entry
from services.gateway.stream.repeats import Repeats
from shared.runtime.records import Record

_OUTCOME = b"relaydesk.command."
_MAX_DIGITS = 18
_TIME, _ATTRIBUTES = b'"time":"', 1024


class Malformed(Exception):
    """No event of ours. The text names the part, never its content."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One record's fate; `entry` is None for a repeat. `final` names the command that this event completes."""

    entry: Entry | None
    final: str | None


class Intake:
    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors

    def take(self, record: Record, repeats: Repeats) -> Taken:
        """Malformed; Divergence (see `repeats`)."""
        kind, cause = record.headers.get("type"), record.headers.get("causationid", b"")
        if kind is None or record.key is None or record.value is None:
            raise Malformed("no type, key or value")
        if record.value[:1] != b"{" or record.value[-1:] != b"}":
            raise Malformed("value is no JSON object")
        try:
            workspace, command = record.key.decode(), cause.decode()
            audience = record.headers.get("audience", b"").decode()
        except UnicodeDecodeError:
            raise Malformed("key or headers are no text") from None
        if not _is_new(record, repeats, kind, cause):
            return Taken(None, None)
        cursor = self._cursors.mint(workspace, record.partition, record.offset)
        entry = Entry(record.offset, workspace, audience or None, frames.event(cursor, record.value))
        return Taken(entry, command if record.headers.get("final") or kind.startswith(_OUTCOME) else None)


def caused_at(record: Record) -> float | None:
    """When the event's cause was accepted (CloudEvents' `time`), in seconds since the epoch, without parsing the value.

    None where it does not stand among the first attributes, as ours have it.
    """
    value = record.value or b""
    start = value.find(_TIME, 0, _ATTRIBUTES)
    if start < 0:
        return None
    start += len(_TIME)
    try:
        return datetime.fromisoformat(value[start : value.find(b'"', start, start + 40)].decode()).timestamp()
    except ValueError:
        return None


def _is_new(record: Record, repeats: Repeats, kind: bytes, cause: bytes) -> bool:
    seq = record.headers.get("seq")
    if seq is not None:
        if not seq.isdigit() or len(seq) > _MAX_DIGITS:
            raise Malformed("seq is no number")
        return repeats.admits(record.headers.get("subject", b""), int(seq), cause)
    return not kind.startswith(_OUTCOME) or repeats.admits_outcome(kind, cause)
