"""Tells new events from repeats of a redelivery, and both from a log that contradicts itself (DESIGN 3.9). Pure.

Memory is bounded: the last seq of at most `conversations` conversations (the least recently seen one is forgotten
first), of each the checksums (4 bytes) of its last 64 causes, and as many outcomes of commands: some 0.6 KB a
conversation at most. A forgotten conversation counts as new: beyond this window clients ignore seqs they have.
"""

from array import array
from collections import OrderedDict
from zlib import crc32

CAUSES = 64


class Divergence(Exception):
    """Two histories in one log (a restored backup, a bug): a seq is missing, or one seq has two causes."""


class _Known:
    __slots__ = ("causes", "last")

    def __init__(self, seq: int, cause: int) -> None:
        self.last = seq
        self.causes = array("I", (cause,))


class Repeats:
    """What one reader of one partition has seen, in offset order."""

    def __init__(self, conversations: int = 50_000) -> None:
        self._capacity = conversations
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._outcomes: OrderedDict[tuple[bytes, bytes], None] = OrderedDict()

    def admits(self, conversation: bytes, seq: int, causationid: bytes) -> bool:
        """True for the next event of the conversation, False for one seen before. Divergence otherwise."""
        cause, known = crc32(causationid), self._known.get(conversation)
        if known is None:
            self._known[conversation] = _Known(seq, cause)
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
            return True
        self._known.move_to_end(conversation)
        if seq <= known.last:
            _check_cause(known, conversation, seq, cause)
            return False
        if seq > known.last + 1:
            raise Divergence(f"conversation {conversation.decode()}: seq {seq} follows {known.last}")
        _extend(known, cause)
        return True

    def admits_outcome(self, kind: bytes, causationid: bytes) -> bool:
        """`command.*` events have no seq: their id follows from kind and command, so a second one is the same event."""
        outcome = (kind, causationid)
        if outcome in self._outcomes:
            return False
        self._outcomes[outcome] = None
        if len(self._outcomes) > self._capacity:
            self._outcomes.popitem(last=False)
        return True


def _extend(known: _Known, cause: int) -> None:
    known.last += 1
    known.causes.append(cause)
    if len(known.causes) > CAUSES:
        del known.causes[0]


def _check_cause(known: _Known, conversation: bytes, seq: int, cause: int) -> None:
    back = known.last - seq
    if back < len(known.causes) and known.causes[-1 - back] != cause:
        raise Divergence(f"conversation {conversation.decode()}: seq {seq} has two causes")
