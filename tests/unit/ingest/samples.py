"""Events as adapters send them, and the acceptance that tests take them with."""

import json
from typing import Any
from uuid import UUID

from services.ingest.core import Acceptance

WHEN = "2026-01-31T12:00:00.000Z"
ACCEPTANCE = Acceptance(
    namespace=UUID("6f1c1d4e-6a43-4a54-9a6b-0d9d0a4f7c11"),
    workspace="demo",
    channel_id="2f0e7b5c-3c5e-4a51-9a13-8f2f0a6f1a77",
    channel_kind="webhook",
    bot_kind=None,
    accepted_at="2026-01-31T12:00:01.000Z",
    request_id="msg_1",
)


def message(**changed: Any) -> dict[str, Any]:
    """A good message; a change to None leaves the field out."""
    fields = {"type": "message", "id": "m1", "from": {"id": "ada"}, "occurred_at": WHEN, "text": "hello", **changed}
    return {name: value for name, value in fields.items() if value is not None}


def receipt(**changed: Any) -> dict[str, Any]:
    return {"type": "receipt", "status": "delivered", "occurred_at": WHEN, **changed}


def body(*events: Any) -> bytes:
    return json.dumps({"events": events}, ensure_ascii=False).encode()
