"""What is left of a delivery when its contact is erased: that it was there and how it ended, nothing of anybody."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from services.dispatch.core.delivery import CONTACT_ERASED, Delivery, End
from shared.contracts.outbound import DeliverMessage

NOBODY = "erased"
"""In the place of the customer's address, which a record must have."""


def erased(seen: Delivery, at: datetime) -> Delivery:
    """Its skeleton: ended now, unless it was before. The same object where it is one already.

    A provider's id goes too: WhatsApp's contain the customer's number. Of an error the code stays.
    """
    if seen.erased:
        return seen
    end = seen.end or End("failed", at, error=CONTACT_ERASED)
    bare = End(end.state, end.at, error=end.error and end.error.partition(":")[0])
    return replace(seen, record=_bare(seen.record), claim=None, end=bare, trouble=None, erased=True)


def as_it_may_be_kept(came: Delivery, erasures: Mapping[str, int], now: datetime) -> Delivery:
    """A delivery that comes in; its skeleton where its conversation (lane -> seq) was erased up to it."""
    return erased(came, now) if came.record.seq <= erasures.get(came.lane, 0) else came


def _bare(record: DeliverMessage) -> DeliverMessage:
    author = record.author.model_copy(update={"id": None, "name": None})
    return record.model_copy(update={"to": NOBODY, "text": None, "attachments": (), "author": author})
