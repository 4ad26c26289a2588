"""What can only be seen in the whole JSON tree of a body, looked at only where the bytes give a reason to."""

from collections.abc import Iterator
from typing import Any

import pydantic_core

from services.ingest.channels.kind import EventFault

_ESCAPED_NUL = b"\\u0000"
_FIELD_SHOWN = 100


def faults_in_tree(body: bytes, max_event_bytes: int) -> list[EventFault]:
    """Events above the limit (as compact UTF-8 JSON) and strings with a NUL, which no store or channel takes.

    `body` is valid JSON of the form {"events": […]}. Costs nothing for a body that is small and has no escaped NUL.
    """
    if len(body) <= max_event_bytes and _ESCAPED_NUL not in body:
        return []
    events = pydantic_core.from_json(body)["events"]
    return [fault for index, event in enumerate(events) for fault in _faults(index, event, max_event_bytes)]


def event_count(body: bytes) -> int | None:
    """How many events, good or bad; None where the body has no list of them."""
    try:
        tree = pydantic_core.from_json(body)
    except ValueError:
        return None
    events = tree.get("events") if isinstance(tree, dict) else None
    return len(events) if isinstance(events, list) else None


def _faults(index: int, event: Any, max_event_bytes: int) -> Iterator[EventFault]:
    encoded = pydantic_core.to_json(event)
    if len(encoded) > max_event_bytes:
        yield EventFault("TOO_LARGE", f"the event has more than {max_event_bytes} bytes", index)
    if _ESCAPED_NUL in encoded and (field := next(_fields_with_nul(event, ""), None)) is not None:
        yield EventFault("MALFORMED", "a NUL character", index, field[:_FIELD_SHOWN])


def _fields_with_nul(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, str) and "\0" in value:
        yield place
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _fields_with_nul(name, f"{place}.(name)".lstrip("."))
            yield from _fields_with_nul(item, f"{place}.{name}".lstrip("."))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _fields_with_nul(item, f"{place}.{number}".lstrip("."))
