"""The header `Retry-After`."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def wait_s(retry_after: str | None, now: datetime) -> float | None:
    """`Retry-After` (RFC 9110 10.2.3: seconds or a date) as seconds from now; None where it says nothing readable."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
