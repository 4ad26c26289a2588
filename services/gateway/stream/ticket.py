"""Tickets for the stream: signed, short-lived, each good for one connection per replica (DESIGN 7). Pure."""

import base64
import binascii
import hashlib
import hmac
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

TICKET_S = 30
_MAC_BYTES = 32


class TicketRefused(Exception):
    """Forged, expired, used before, or of a member who was refused since. The text says which, for the log."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What `POST /v1/stream/ticket` answers; `expires_at` as on the wire."""

    ticket: str
    url: str
    expires_at: str


@dataclass(frozen=True, slots=True)
class Pass:
    """Who a ticket lets in. `expires_at` (Unix seconds) is the token's end, not the ticket's."""

    workspace: str
    member_id: str
    role: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Content:
    holder: Pass
    issued: float
    nonce: str


class Tickets:
    """Issues with `key`; redeems what one of `key` and `accepted` made.

    What is remembered lives as long as a ticket: uses of valid tickets, and refused members.
    """

    def __init__(self, key: bytes, lifetime_s: float = TICKET_S, accepted: Sequence[bytes] = ()) -> None:
        self._keys = [hmac.digest(each, b"relaydesk.stream.ticket", "sha256") for each in (key, *accepted)]
        self._lifetime_s = lifetime_s
        self._used: dict[str, float] = {}
        self._refused: dict[tuple[str, str], float] = {}

    def issue(self, holder: Pass, now: float, nonce: str) -> str:
        """`now` in Unix seconds; `nonce` must never come twice."""
        content = [holder.workspace, holder.member_id, holder.role, holder.expires_at, now, nonce]
        body = json.dumps(content, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(_mac(self._keys[0], body) + body).decode().rstrip("=")

    def redeem(self, text: str, now: float) -> Pass:
        """TicketRefused, and nothing else, for any text; the second use of a ticket is refused."""
        content = self._authentic(text)
        if not content.issued - self._lifetime_s <= now <= content.issued + self._lifetime_s:
            raise TicketRefused("expired")
        if content.nonce in self._used:
            raise TicketRefused("used")
        if content.issued <= self._refused.get((content.holder.workspace, content.holder.member_id), -math.inf):
            raise TicketRefused("member refused")
        self._forget_used(now)
        self._used[content.nonce] = now + 2 * self._lifetime_s
        return content.holder

    def refuse(self, workspace: str, member_id: str, now: float) -> None:
        """Tickets that this member got until now are worth nothing any more."""
        self._forget_refused(now)
        self._refused[workspace, member_id] = now

    def _forget_used(self, now: float) -> None:
        while self._used and self._used[first := next(iter(self._used))] < now:
            del self._used[first]

    def _forget_refused(self, now: float) -> None:
        for member in [m for m, moment in self._refused.items() if moment < now - 2 * self._lifetime_s]:
            del self._refused[member]

    def _authentic(self, text: str) -> _Content:
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raise TicketRefused("unreadable") from None
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not any(hmac.compare_digest(mac, _mac(key, body)) for key in self._keys):
            raise TicketRefused("forged")
        workspace, member_id, role, expires_at, issued, nonce = json.loads(body)
        return _Content(Pass(workspace, member_id, role, expires_at), issued, nonce)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, hashlib.sha256)
