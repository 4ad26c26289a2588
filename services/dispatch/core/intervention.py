"""What a member may ask of a delivery: to be tried now, or not at all. An end is an end: nothing is revived."""

from dataclasses import replace
from datetime import datetime

from services.dispatch.core.delivery import CANCELLED, Delivery, End


class Refused(Exception):
    """It cannot be done any more, or not now; `code` is one of shared.contracts.errors."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def retried(seen: Delivery, now: datetime) -> Delivery:
    """Due now, its backoff from the beginning; the same object where an attempt is under way already. May be repeated.

    The fence and the end of its life count as ever: a bot's message that was silenced meanwhile is not sent.
    """
    if seen.end is not None:
        raise Refused("DELIVERY_ENDED")
    if seen.claim is not None:
        return seen
    return replace(seen, next_at=now, patience_from=seen.attempt, nudged_at=now)


def cancelled(seen: Delivery, now: datetime) -> Delivery:
    """Ended before its next attempt; the same object where it was cancelled already. May be repeated."""
    if seen.end is not None and seen.end.error == CANCELLED:
        return seen
    if seen.end is not None:
        raise Refused("DELIVERY_ENDED")
    if seen.claim is not None:
        raise Refused("DELIVERY_UNDER_WAY")
    return replace(seen.ended(End("failed", now, error=CANCELLED)), nudged_at=now)
