"""What came of one attempt to hand a message over, and how an adapter's HTTP answer reads (DESIGN 11)."""

import json
from dataclasses import dataclass
from datetime import datetime

from shared.contracts.retry_after import wait_s

MAX_PROVIDER_ID = 512
MAX_SHOWN = 200
_TRY_AGAIN_4XX = frozenset({408, 425, 429})
_TELLS_WHEN = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Sent:
    """The channel took it."""

    provider_message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The channel will never take it. `code` is one of shared.contracts.errors."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """The channel surely did not take it. `after_s`: when it asked to be tried again."""

    detail: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """It was begun and there was no answer: it may have arrived."""

    detail: str


Outcome = Sent | Failed | Retry | Lost


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer as far as it was read. `retry_after` is the header as it came."""

    status: int
    body: bytes
    retry_after: str | None = None


def judged(reply: Reply, now: datetime) -> Outcome:
    """2xx: sent; 4xx but 408, 425, 429: refused for good; anything else, a redirect too: to be tried again."""
    if 200 <= reply.status < 300:
        return Sent(provider_id(reply.body))
    if 400 <= reply.status < 500 and reply.status not in _TRY_AGAIN_4XX:
        return Failed("ADAPTER_REFUSED", f"HTTP {reply.status} {shown(reply.body)}".rstrip())
    after = wait_s(reply.retry_after, now) if reply.status in _TELLS_WHEN else None
    return Retry(f"HTTP {reply.status}", after)


def provider_id(body: bytes) -> str | None:
    """`provider_message_id` of a JSON object, if it is a plain text of 1 to 512 characters; rubbish is no error."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    ident = answer.get("provider_message_id") if isinstance(answer, dict) else None
    if isinstance(ident, str) and 0 < len(ident) <= MAX_PROVIDER_ID and ident.isprintable():
        return ident
    return None


def shown(body: bytes) -> str:
    """The beginning of an answer for people: one line, at most 200 characters."""
    text = body[: MAX_SHOWN * 4].decode(errors="replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_SHOWN]
