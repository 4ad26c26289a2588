"""Cursors: opaque, authenticated positions in the events of one workspace (DESIGN 8).

Pure. Must not know Kafka or sockets: what the log still holds is decided in `resume.py`.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from shared.runtime.clock import Clock

Reason = Literal["invalid", "foreign", "expired", "future", "recreated"]

CLOCK_SKEW_S = 60
"""Replicas' clocks may differ by this much before a cursor counts as issued in the future."""

_VERSION = 1
_FIELDS = struct.Struct(">HHqI8s8s")  # version, partition, offset, issue time, tags of workspace and incarnation
_MAC_BYTES = 16
_TEXT_LENGTH = (_FIELDS.size + _MAC_BYTES) * 4 // 3
"""48 bytes are 64 characters without padding or spare bits: one position has one text."""


class CursorRefused(Exception):
    """The one answer to a cursor that can't be used, whatever its bytes."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Cursor:
    """`offset` is the last one that its holder has seen, -1 for none; `issued` in Unix seconds."""

    partition: int
    offset: int
    issued: int


class Cursors:
    """Mints and reads cursors of the topic whose current incarnation `incarnation()` names. `max_age_s` in seconds."""

    def __init__(self, key: bytes, incarnation: Callable[[], str], clock: Clock, max_age_s: float) -> None:
        self._key = hmac.digest(key, b"relaydesk.stream.cursor", "sha256")
        self._incarnation, self._clock, self._max_age_s = incarnation, clock, max_age_s
        self._tag = lru_cache(maxsize=4096)(self._computed_tag)

    def mint(self, workspace: str, partition: int, offset: int) -> str:
        """`offset` is the last one seen, -1 for none."""
        tags = (self._tag("workspace", workspace), self._tag("incarnation", self._incarnation()))
        fields = _FIELDS.pack(_VERSION, partition, offset, self._now(), *tags)
        return base64.urlsafe_b64encode(fields + self._mac(fields)).decode()

    def parse(self, text: str, workspace: str) -> Cursor:
        """CursorRefused, and nothing else, for any text that `mint` did not make for this workspace not long ago."""
        version, partition, offset, issued, of_workspace, of_incarnation = self._authentic(text)
        if version != _VERSION:
            raise CursorRefused("invalid")
        if of_workspace != self._tag("workspace", workspace):
            raise CursorRefused("foreign")
        if of_incarnation != self._tag("incarnation", self._incarnation()):
            raise CursorRefused("recreated")
        if issued > self._now() + CLOCK_SKEW_S:
            raise CursorRefused("future")
        if issued < self._now() - self._max_age_s:
            raise CursorRefused("expired")
        return Cursor(partition, offset, issued)

    def _authentic(self, text: str) -> tuple[int, int, int, int, bytes, bytes]:
        try:
            raw = base64.b64decode(text.encode("ascii"), b"-_", validate=True) if len(text) == _TEXT_LENGTH else b""
        except (UnicodeEncodeError, binascii.Error):
            raw = b""
        fields, mac = raw[: _FIELDS.size], raw[_FIELDS.size :]
        canonical = base64.urlsafe_b64encode(raw).decode() == text  # b64decode takes "+" for "-" as well
        if not canonical or not hmac.compare_digest(mac, self._mac(fields)):
            raise CursorRefused("invalid")
        version, partition, offset, issued, workspace, incarnation = _FIELDS.unpack(fields)
        return version, partition, offset, issued, workspace, incarnation

    def _now(self) -> int:
        return int(self._clock.now().timestamp())

    def _mac(self, fields: bytes) -> bytes:
        return hmac.digest(self._key, fields, hashlib.sha256)[:_MAC_BYTES]

    def _computed_tag(self, kind: str, name: str) -> bytes:
        """Stands for a name in few bytes; keyed, so that nobody outside can look for two names with the same one."""
        return hmac.digest(self._key, f"{kind}:{name}".encode(), hashlib.sha256)[:8]
