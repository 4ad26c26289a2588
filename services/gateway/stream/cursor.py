"""Cursors: opaque, authenticated positions in the events of one workspace (DESIGN 8).

Pure. Must not know Kafka or sockets: what the log still holds is decided in `resume.py`.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Callable, Sequence
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


class _Seal:
    """What one key makes of bytes and of names."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"relaydesk.stream.cursor", "sha256")
        self.tag = lru_cache(maxsize=4096)(self._computed_tag)

    def mac(self, fields: bytes) -> bytes:
        return hmac.digest(self._key, fields, hashlib.sha256)[:_MAC_BYTES]

    def _computed_tag(self, kind: str, name: str) -> bytes:
        """Stands for a name in few bytes; keyed, so that nobody outside can look for two names with the same one."""
        return hmac.digest(self._key, f"{kind}:{name}".encode(), hashlib.sha256)[:8]


class Cursors:
    """Mints and reads cursors of the topic whose current incarnation `incarnation()` names. `max_age_s` in seconds.

    Mints with `key`; reads what one of `key` and `accepted` made.
    """

    def __init__(
        self,
        key: bytes,
        incarnation: Callable[[], str],
        clock: Clock,
        max_age_s: float,
        accepted: Sequence[bytes] = (),
    ) -> None:
        self._seals = [_Seal(each) for each in (key, *accepted)]
        self._seal = self._seals[0]
        self._incarnation, self._clock, self._max_age_s = incarnation, clock, max_age_s

    def mint(self, workspace: str, partition: int, offset: int) -> str:
        """`offset` is the last one seen, -1 for none."""
        seal = self._seal
        tags = (seal.tag("workspace", workspace), seal.tag("incarnation", self._incarnation()))
        fields = _FIELDS.pack(_VERSION, partition, offset, self._now(), *tags)
        return base64.urlsafe_b64encode(fields + seal.mac(fields)).decode()

    def parse(self, text: str, workspace: str) -> Cursor:
        """CursorRefused, and nothing else, for any text that `mint` did not make for this workspace not long ago."""
        seal, fields = self._authentic(text)
        version, partition, offset, issued, of_workspace, of_incarnation = _FIELDS.unpack(fields)
        if version != _VERSION:
            raise CursorRefused("invalid")
        if of_workspace != seal.tag("workspace", workspace):
            raise CursorRefused("foreign")
        if of_incarnation != seal.tag("incarnation", self._incarnation()):
            raise CursorRefused("recreated")
        if issued > self._now() + CLOCK_SKEW_S:
            raise CursorRefused("future")
        if issued < self._now() - self._max_age_s:
            raise CursorRefused("expired")
        return Cursor(partition, offset, issued)

    def _authentic(self, text: str) -> tuple[_Seal, bytes]:
        try:
            raw = base64.b64decode(text.encode("ascii"), b"-_", validate=True) if len(text) == _TEXT_LENGTH else b""
        except (UnicodeEncodeError, binascii.Error):
            raw = b""
        fields, mac = raw[: _FIELDS.size], raw[_FIELDS.size :]
        canonical = base64.urlsafe_b64encode(raw).decode() == text  # b64decode takes "+" for "-" as well
        made_by = next((seal for seal in self._seals if hmac.compare_digest(mac, seal.mac(fields))), None)
        if not canonical or made_by is None:
            raise CursorRefused("invalid")
        return made_by, fields

    def _now(self) -> int:
        return int(self._clock.now().timestamp())
