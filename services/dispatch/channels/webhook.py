"""Kind `webhook`: a signed POST to the channel's `outbound_url` (DESIGN 11); see docs/channels.md, "Sending"."""

import json
from collections.abc import Mapping
from typing import Any

from services.dispatch.core.channel import Channel
from services.dispatch.core.delivery import Delivery
from services.dispatch.core.outcome import Lost, Outcome, Retry, judged
from services.dispatch.ports import Http, Links
from services.dispatch.signing import signed
from shared.contracts.capabilities import KINDS, capabilities_of, carried
from shared.contracts.commands import SentAttachment
from shared.contracts.media_types import presentation
from shared.runtime.clock import Clock
from shared.runtime.outbound_http import NotBegun, Unanswered


class Webhook:
    """Adapters must drop a `webhook-id` that they have seen: the contract says so, hence idempotent."""

    capabilities = KINDS["webhook"]

    def __init__(self, links: Links, clock: Clock) -> None:
        self._links = links
        self._clock = clock

    async def deliver(self, delivery: Delivery, channel: Channel, http: Http) -> Outcome:
        url = channel.settings.get("outbound_url")
        if not isinstance(url, str) or not url:
            return Retry("the channel has no outbound_url")
        if channel.secret is None:
            return Retry("the channel's secret cannot be read")
        attachments = [self._attachment(item, channel) for item in delivery.record.attachments]
        body = json.dumps(content(delivery, attachments), ensure_ascii=False, separators=(",", ":"))
        headers = signed(channel.secret, delivery.record.message_id, self._clock.now(), body)
        return await self._posted(http, url, headers, body)

    async def _posted(self, http: Http, url: str, headers: Mapping[str, str], body: str) -> Outcome:
        try:
            reply = await http.post(url, headers, body.encode())
        except NotBegun as error:
            return Retry(str(error))
        except Unanswered as error:
            return Lost(str(error))
        return judged(reply, self._clock.now())

    def _attachment(self, attachment: SentAttachment, channel: Channel) -> dict[str, Any]:
        """What the channel does not carry (any more) goes as it is: its adapter knows best what to do with it."""
        able = capabilities_of(channel.kind, channel.settings)
        out = carried(attachment, able) or carried(attachment, KINDS["webhook"])
        assert out is not None
        name = presentation(out.content_type, attachment.filename).filename if attachment.filename else None
        shown: dict[str, Any] = {
            "kind": out.kind,
            "url": self._links.url(attachment, out.rendition),
            "content_type": out.content_type,
            "filename": name,
            "size": out.size,
        }
        if attachment.duration_s is not None:
            shown["duration_s"] = attachment.duration_s
        return shown


def content(delivery: Delivery, attachments: list[dict[str, Any]]) -> dict[str, Any]:
    """The body; a message without text has no `text`."""
    record = delivery.record
    text = {} if record.text is None else {"text": record.text}
    return {
        "type": "message",
        "id": record.message_id,
        "conversation_id": record.conversation_id,
        "to": {"id": record.to},
        **text,
        "attachments": attachments,
        "author": {"kind": record.author.kind, "name": record.author.name},
        "attempt": delivery.attempt,
    }
