"""Bot kind `webhook`: a signed POST to the bot's `url` (DESIGN 11); see README.md, "Bots"."""

import json

from services.dispatch.bots.answers import read_answer
from services.dispatch.core.bot import Answer, Broken, Request
from services.dispatch.core.channel import Channel
from services.dispatch.signing import signed
from shared.runtime.clock import Clock
from shared.runtime.outbound_http import Bounds, NotBegun, OutboundHttp, Unanswered

ANSWER_BYTES = 1 << 20
CONNECT_S = 5.0


class WebhookBot:
    """`webhook-id` is the id of the command that its answer becomes: a repeated question keeps it."""

    def __init__(self, http: OutboundHttp, clock: Clock) -> None:
        self._http = http
        self._clock = clock

    async def ask(self, request: Request, channel: Channel, deadline_s: float) -> Answer:
        url = channel.bot.settings.get("url") if channel.bot else None
        if not isinstance(url, str) or not url or channel.secret is None:
            return Broken("NO_BOT")
        body = content(request)
        headers = signed(channel.secret, request.answer_id, self._clock.now(), body)
        bounds = Bounds(deadline_s, min(CONNECT_S, deadline_s), ANSWER_BYTES)
        try:
            answer = await self._http.post(url, headers, body.encode(), bounds)
        except NotBegun:
            return Broken("UNREACHABLE", again=True)
        except Unanswered:
            return Broken("NO_ANSWER", again=True)
        return read_answer(answer, request.record.conversation_id)


def content(request: Request) -> str:
    record = request.record
    said = {
        "type": "message",
        "conversation_id": record.conversation_id,
        "epoch": record.epoch,
        "message": record.message.model_dump(mode="json"),
        "contact": record.contact.model_dump(mode="json"),
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
