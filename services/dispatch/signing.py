"""Standard Webhooks signatures (standardwebhooks.com, spec v1.0.0) of what we send to adapters and bots."""

from collections.abc import Mapping
from datetime import datetime

from standardwebhooks.webhooks import Webhook


def signed(secret: str, ident: str, now: datetime, body: str) -> Mapping[str, str]:
    """The headers of a signed JSON request. `secret`: `whsec_…`; a repeat keeps `ident` and gets a new time."""
    return {
        "content-type": "application/json",
        "webhook-id": ident,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(ident, now, body),
    }
