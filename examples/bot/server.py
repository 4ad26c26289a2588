"""A small bot for the webhook bot contract: answers a few questions, hands over when a person is asked for.

Written against the public contract only. Environment: BOT_SECRET (the channel's `whsec_…`), BOT_PORT, BOT_HOST.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET: web.AppKey[str] = web.AppKey("secret", str)
LARGEST_REQUEST = 1 << 20

ANSWERS: tuple[tuple[str, str], ...] = (
    (
        r"\b(hi|hello|hey|hola|salut)\b",
        "Hello{name}! I am the shop’s bot. Ask me about opening hours, delivery, returns.",
    ),
    (r"\b(open|opening|hours)\b", "We are open Monday to Saturday, 9:00 to 18:00."),
    (r"\b(deliver|delivery|shipping)\b", "Delivery takes two to three days and is free from 50 €."),
    (r"\b(return|refund)\b", "You can return anything within 30 days. Just keep the receipt."),
)
PERSON = re.compile(r"\b(person|human|agent|somebody|someone|help)\b", re.IGNORECASE)
UNSURE = "I am only the shop’s bot and not sure about that. Write “human” and a colleague will answer you."
HANDOFF = "One moment: I am a bot, a colleague will take over."


def answer(text: str, contact: Mapping[str, Any]) -> dict[str, Any]:
    """-> `{"replies": [{"text"}], "handoff"?}`"""
    if PERSON.search(text):
        return {"replies": [{"text": HANDOFF}], "handoff": True}
    name = f", {contact['first_name']}" if contact.get("first_name") else ""
    known = (reply for pattern, reply in ANSWERS if re.search(pattern, text, re.IGNORECASE))
    return {"replies": [{"text": next(known, UNSURE).format(name=name)}]}


async def asked(request: web.Request) -> web.Response:
    body = await request.read()
    try:
        Webhook(request.app[SECRET]).verify(body, dict(request.headers))
    except (WebhookVerificationError, ValueError):
        return web.json_response({"error": "bad signature"}, status=401)
    question = await request.json()
    return web.json_response(answer(question["message"].get("text") or "", question["contact"]))


async def healthy(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def build(secret: str) -> web.Application:
    app = web.Application(client_max_size=LARGEST_REQUEST)
    app[SECRET] = secret
    app.add_routes([web.post("/", asked), web.get("/healthz", healthy)])
    return app


def main() -> None:
    if not os.environ.get("BOT_SECRET"):
        raise SystemExit("bot: set BOT_SECRET")
    port, host = int(os.environ.get("BOT_PORT", "8799")), os.environ.get("BOT_HOST", "127.0.0.1")
    app = build(os.environ["BOT_SECRET"])
    web.run_app(app, host=host, port=port, shutdown_timeout=3, print=None, access_log=None)


if __name__ == "__main__":
    main()
