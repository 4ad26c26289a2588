"""What must never reach a log line: message texts, tokens, secrets, signed URLs. Pure."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

import pydantic
import pymongo.errors

HIDDEN = "[redacted]"
MAX_TEXT = 2_000
MAX_ERROR_TEXT = 300
MAX_DEPTH = 6

_HIDDEN_KEYS = frozenset(
    {"text", "texts", "message", "body", "value", "raw", "input", "payload", "email", "phone", "key_bytes"}
)
_HIDDEN_WORDS = ("token", "authorization", "secret", "signature", "password", "cookie", "credential", "ticket", "jwt_")

_PATTERNS = (
    # The query of a signed URL: which parameters sign differs by store, so all of it goes.
    (
        re.compile(r"\?[^\s\"'<>]*?(?:x-amz-|signature=|sig=|token=|ticket=|x-goog-|key=)[^\s\"'<>]*", re.IGNORECASE),
        f"?{HIDDEN}",
    ),
    (re.compile(r"\bbearer\s+[^\s\"',]+", re.IGNORECASE), f"Bearer {HIDDEN}"),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), HIDDEN),
    (re.compile(r"\bwhsec_[\w+/=-]+"), HIDDEN),
    (re.compile(r"/bot\d+:[\w-]+"), f"/bot{HIDDEN}"),
    (re.compile(r"(?<=://)[^/@\s]+:[^/@\s]+@"), f"{HIDDEN}@"),
)


def redacted(event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The event with hidden keys blanked and secrets cut out of texts, however deep (below 6 levels nothing shows)."""
    return {key: HIDDEN if _is_hidden(key) else _clean(value, 1) for key, value in event.items()}


def clean_text(text: str) -> str:
    """One text without tokens, credentials or signed queries; cut to 2,000 characters."""
    for pattern, substitute in _PATTERNS:
        text = pattern.sub(substitute, text)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def error_text(error: BaseException) -> str:
    """What may be shown of an error. Libraries put the refused value into theirs; that may be a customer's message."""
    if isinstance(error, pydantic.ValidationError):
        faults = error.errors(include_input=False, include_context=False, include_url=False)
        return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in faults[:5])
    if isinstance(error, pymongo.errors.OperationFailure):
        return f"code {error.code}"
    if isinstance(error, KeyError | IndexError | UnicodeError):
        return ""
    return clean_text(str(error))[:MAX_ERROR_TEXT]


def _is_hidden(key: str) -> bool:
    name = str(key).lower()
    return name in _HIDDEN_KEYS or any(word in name for word in _HIDDEN_WORDS)


def _clean(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return HIDDEN
    match value:
        case str():
            return clean_text(value)
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case BaseException():
            return f"{type(value).__name__}: {error_text(value)}"
        case Mapping():
            return {str(k): HIDDEN if _is_hidden(k) else _clean(v, depth + 1) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(item, depth + 1) for item in value]
        case None | bool() | int() | float():
            return value
        case _:
            return clean_text(str(value))
