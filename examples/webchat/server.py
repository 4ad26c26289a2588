"""A web chat for visitors, attached to Relaydesk as a `webhook` channel. Knows only Relaydesk's public contract.

visitor's page --POST /messages--> here --signed POST /v1/inbound/{channel}--> Relaydesk
visitor's page <--SSE /events----- here <--signed POST /deliveries------------ Relaydesk
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from aiohttp import web
from chat import Chat
from history import History
from relaydesk_client import Channel

STATIC = Path(__file__).parent / "static"
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; media-src http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def build(channel: Channel, data: Path) -> web.Application:
    history = History(data / "webchat.sqlite3")
    chat = Chat(channel, history)

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        sending = asyncio.create_task(chat.relaydesk.run())
        yield
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        history.close()

    app = web.Application(client_max_size=1024 * 1024)
    app.add_routes(
        [
            web.get("/", chat.page),
            web.get("/events", chat.events),
            web.get("/profile", chat.profile),
            web.post("/profile", chat.rename),
            web.post("/messages", chat.message),
            web.post("/receipts", chat.receipts),
            web.post("/deliveries", chat.delivery),
            web.get("/healthz", healthy),
            web.static("/static", STATIC),
        ]
    )
    app.cleanup_ctx.append(lifetime)
    app.on_shutdown.append(chat.close)
    app.on_response_prepare.append(secured)
    return app


async def healthy(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def secured(_: web.Request, answer: web.StreamResponse) -> None:
    for name, value in SECURITY.items():
        answer.headers.setdefault(name, value)


def channel_from(environ: Mapping[str, str]) -> Channel:
    names = ("WEBCHAT_API", "WEBCHAT_CHANNEL_ID", "WEBCHAT_CHANNEL_SECRET")
    if missing := [name for name in names if not environ.get(name)]:
        raise SystemExit(f"webchat: set {', '.join(missing)}")
    api, ident, secret = (environ[name] for name in names)
    return Channel(api.rstrip("/"), ident, secret)


def main(environ: Mapping[str, str]) -> None:
    logging.basicConfig(level=logging.INFO, format="webchat: %(message)s")
    app = build(channel_from(environ), Path(environ.get("WEBCHAT_DATA", ".webchat")))
    host, port = environ.get("WEBCHAT_HOST", "127.0.0.1"), int(environ.get("WEBCHAT_PORT", "8701"))
    web.run_app(app, host=host, port=port, shutdown_timeout=3, print=None, access_log=None)


if __name__ == "__main__":
    main(os.environ)
