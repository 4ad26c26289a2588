"""The way out of one attempt: HTTP that passes the attempt's gate, and links to files."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

from services.dispatch.core.outcome import Reply
from shared.contracts.commands import SentAttachment
from shared.contracts.media_types import OPAQUE, RENDITION_TYPES, presentation
from shared.runtime.outbound_http import Bounds, Gate, OutboundHttp
from shared.runtime.s3 import Shown

LINK_LASTS = timedelta(hours=1)


class GatedHttp:
    """`Http` of one attempt."""

    def __init__(self, client: OutboundHttp, bounds: Bounds, gate: Gate) -> None:
        self._client = client
        self._bounds = bounds
        self._gate = gate

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        answer = await self._client.post(url, headers, body, self._bounds, self._gate)
        return Reply(answer.status, answer.body, answer.headers.get("retry-after"))


class Signer(Protocol):
    def presign_get(self, key: str, lasts: timedelta, shown: Shown) -> str: ...


class SignedLinks:
    """`Links` into our object store; a link lasts an hour, and each attempt gets a new one."""

    def __init__(self, store: Signer) -> None:
        self._store = store

    def url(self, attachment: SentAttachment, rendition: str) -> str:
        key = attachment.objects.get(rendition)
        if key is None:
            raise ValueError(f"attachment {attachment.media_id} has no {rendition}")
        kind = RENDITION_TYPES.get(rendition, attachment.content_type or OPAQUE)
        look = presentation(kind, attachment.filename)
        shown = Shown(look.content_type, look.filename)
        return self._store.presign_get(key, LINK_LASTS, shown)
