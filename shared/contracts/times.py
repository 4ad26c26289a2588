"""Times on the wire: UTC, RFC 3339 with milliseconds and `Z`; as text they sort as they happened."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import StringConstraints

TIMESTAMP_PATTERN = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
Timestamp = Annotated[str, StringConstraints(pattern=TIMESTAMP_PATTERN)]
_RFC3339 = re.compile(r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$")


def to_timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_timestamp(text: str) -> datetime:
    """Any RFC 3339 time -> aware datetime. ValueError otherwise."""
    if not _RFC3339.match(text):
        raise ValueError("expected an RFC 3339 time such as 2026-01-31T12:00:00.000Z")
    return datetime.fromisoformat(text.upper())


def normalized(text: str) -> str:
    """Any RFC 3339 time -> ours. ValueError otherwise, also where UTC has no such year."""
    try:
        return to_timestamp(from_timestamp(text))
    except OverflowError as error:
        raise ValueError("the time is out of range") from error
