"""The status lattice of an outgoing message: queued < sent < delivered < read < played; `failed`, `unknown` aside."""

from shared.contracts.resources import MessageStatus

_RANK: dict[str, int] = {"queued": 0, "unknown": 1, "failed": 2, "sent": 3, "delivered": 4, "read": 5, "played": 6}


def raised(current: MessageStatus, reported: MessageStatus) -> MessageStatus | None:
    """The status after a report, or None where the report changes nothing.

    A report never lowers. `failed` may still follow `sent` (a provider accepts, then refuses), never `delivered` or
    more; whatever proves an arrival replaces `failed` and `unknown`.
    """
    if reported == "failed" and current == "sent":
        return "failed"
    return reported if _RANK[reported] > _RANK[current] else None
