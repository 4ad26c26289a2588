"""Who may open the stream: path, origin and ticket of an upgrade request, checked without waiting for anything."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs

from picows import WSUpgradeRequest, WSUpgradeResponse

from services.gateway.stream.settings import StreamSettings
from services.gateway.stream.ticket import Pass, TicketRefused, Tickets
from shared.contracts.errors import ERRORS
from shared.contracts.routes import STREAM


class Refused(Exception):
    """Answered before the upgrade; the code is one of `shared.contracts.errors`."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail

    def response(self) -> WSUpgradeResponse:
        problem = {
            "type": "about:blank",
            "title": ERRORS[self.code].title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        headers = {"Content-Type": "application/problem+json"}
        response: WSUpgradeResponse = WSUpgradeResponse.create_error_response(
            self.status, json.dumps(problem).encode(), headers
        )
        return response


@dataclass(frozen=True, slots=True)
class Admitted:
    holder: Pass
    cursor: str


class Gate:
    def __init__(self, tickets: Tickets, settings: StreamSettings, now: Callable[[], float]) -> None:
        """`now`: Unix seconds."""
        self._tickets, self._settings, self._now = tickets, settings, now

    def admit(self, request: WSUpgradeRequest) -> Admitted:
        """Uses the ticket up. Refused otherwise."""
        path, _, query = request.path.decode("latin-1").partition("?")
        if path != STREAM:
            raise Refused(HTTPStatus.NOT_FOUND, "NOT_FOUND", f"the stream is at {STREAM}")
        self._check_origin(request)
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        try:
            holder = self._tickets.redeem(asked.get("ticket", ""), self._now())
        except TicketRefused as refused:
            raise Refused(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", f"ticket {refused}") from None
        _mend_connection_header(request)
        return Admitted(holder, asked.get("cursor", ""))

    def _check_origin(self, request: WSUpgradeRequest) -> None:
        """Browsers send it; what sends none is no page that could misuse a member's session."""
        origin = request.headers.get("Origin")
        if self._settings.origins and origin is not None and origin not in self._settings.origins:
            raise Refused(HTTPStatus.FORBIDDEN, "FORBIDDEN", "this origin may not connect")


def _mend_connection_header(request: WSUpgradeRequest) -> None:
    """picows takes `Connection: Upgrade` only; Firefox sends `keep-alive, Upgrade` (RFC 9110 section 7.6.1: a list)."""
    options = {option.strip().lower() for option in request.headers.get("Connection", "").split(",")}
    if "upgrade" in options:
        request.headers["Connection"] = "Upgrade"
