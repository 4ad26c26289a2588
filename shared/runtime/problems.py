"""Errors as a client meets them: RFC 9457 `application/problem+json` with a stable `code`. Knows no framework."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson

from shared.contracts.errors import ERRORS

CONTENT_TYPE = "application/problem+json"
UNKNOWN_RESULT = "A part of the system does not answer; the result is unknown: retry with the same id."


class Problem(Exception):
    """Answer this request with an error. `extra` goes beside `detail`, for example `errors=[{field, code, detail}]`."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra

    def document(self) -> dict[str, Any]:
        """The body, RFC 9457 section 3.1; `type` is a URN made of the code."""
        return {
            "type": f"urn:relaydesk:problem:{self.code.lower().replace('_', '-')}",
            "title": ERRORS[self.code].title if self.code in ERRORS else HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.extra,
        }

    def body(self) -> bytes:
        return orjson.dumps(self.document(), default=str)


def unavailable(detail: str = UNKNOWN_RESULT) -> Problem:
    """503: an engine or a service is away. Retrying with the same id or key is safe."""
    return Problem(503, "UNAVAILABLE", detail, headers={"Retry-After": "1"})


def unauthenticated(detail: str) -> Problem:
    return Problem(401, "UNAUTHENTICATED", detail, headers={"WWW-Authenticate": "Bearer"})


def too_many_requests(detail: str, wait_s: float) -> Problem:
    """429. `wait_s` > 0: another try before that is refused, too."""
    return Problem(429, "TOO_MANY_REQUESTS", detail, headers={"Retry-After": str(math.ceil(wait_s))})


def not_found(detail: str = "There is no such thing here.") -> Problem:
    return Problem(404, "NOT_FOUND", detail)
