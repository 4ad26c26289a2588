"""What the visitors' pages and Relaydesk ask of the chat, over HTTP."""

import asyncio
import contextlib
import hashlib
import json
import re
import secrets
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from history import Event, History, Line
from relaydesk_client import Channel, RelaydeskClient
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

INDEX = Path(__file__).parent / "static" / "index.html"
COOKIE = "webchat_visitor"
A_YEAR_S = 365 * 24 * 3600
MAX_TEXT = 4000
KEEP_ALIVE_S = 20


class Chat:
    """Handlers; a page that listens is told through an asyncio.Event that its lines changed."""

    def __init__(self, channel: Channel, history: History) -> None:
        self._webhook = Webhook(channel.secret)
        self._history = history
        self._pages: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._closing = False
        self.relaydesk = RelaydeskClient(channel, history, self._tell)

    async def page(self, request: web.Request) -> web.StreamResponse:
        answer = web.FileResponse(INDEX)
        if COOKIE not in request.cookies:
            token = secrets.token_urlsafe(24)
            secure = request.headers.get("x-forwarded-proto", request.scheme) == "https"
            answer.set_cookie(COOKIE, token, max_age=A_YEAR_S, httponly=True, samesite="Lax", secure=secure)
        return answer

    async def profile(self, request: web.Request) -> web.Response:
        return web.json_response({"name": self._history.name_of(visitor_of(request))})

    async def rename(self, request: web.Request) -> web.Response:
        """`{name}`: what the agents see instead of an anonymous visitor."""
        visitor, name = visitor_of(request), (await json_object(request)).get("name")
        if not isinstance(name, str) or not 1 <= len(name.strip()) <= 100 or "\0" in name:
            raise web.HTTPBadRequest(text="name: 1 to 100 characters")
        body = {"type": "contact", "from": {"id": visitor, "name": name.strip()}}
        self._history.rename(visitor, name.strip(), Event(f"contact_{uuid.uuid4().hex}", body))
        self.relaydesk.wake()
        return web.json_response({"name": name.strip()})

    async def message(self, request: web.Request) -> web.Response:
        """`{id, text}`; the page makes the id, so that a repeat of the request doesn't send twice."""
        visitor, body = visitor_of(request), await json_object(request)
        ident, text = body.get("id"), body.get("text")
        if not isinstance(ident, str) or not re.fullmatch(r"[0-9a-zA-Z-]{8,64}", ident):
            raise web.HTTPBadRequest(text="id: 8 to 64 letters, digits or -")
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT or "\0" in text:
            raise web.HTTPBadRequest(text=f"text: 1 to {MAX_TEXT} characters")
        name, at = self._history.name_of(visitor), now()
        sender = {"id": visitor, **({"name": name} if name else {})}
        event = {"type": "message", "id": ident, "from": sender, "occurred_at": at, "text": text}
        line = Line(ident, visitor, "visitor", name, text, [], at, "waiting")
        if self._history.add(line, Event(f"{visitor}_{ident}", event)):
            self._tell(visitor)
            self.relaydesk.wake()
        return web.json_response({"id": ident}, status=202)

    async def receipts(self, request: web.Request) -> web.Response:
        """`{ids, status}`: the page shows these answers (`delivered`), or the visitor has looked at them (`read`)."""
        visitor, body = visitor_of(request), await json_object(request)
        status, lines = body.get("status"), body.get("ids")
        if status not in ("delivered", "read") or not isinstance(lines, list) or len(lines) > 200:
            raise web.HTTPBadRequest(text="status: delivered or read; ids: at most 200")
        for line in [line for line in lines if isinstance(line, str)]:
            receipt = {"type": "receipt", "message_id": line, "status": status, "occurred_at": now()}
            if self._history.seen(visitor, line, status, Event(f"{status}_{line}", receipt)):
                self._tell(visitor)
        self.relaydesk.wake()
        return web.Response(status=204)

    async def delivery(self, request: web.Request) -> web.Response:
        """A message for a visitor. 2xx only once it is kept; the same webhook-id again changes nothing."""
        body = await request.read()
        try:
            message = self._webhook.verify(body, dict(request.headers))
        except (WebhookVerificationError, ValueError):
            raise web.HTTPUnauthorized(text="the signature does not verify") from None
        if message["type"] != "message":
            return web.json_response({})  # of a later version: nothing we could show
        visitor, ident, author = message["to"]["id"], request.headers["webhook-id"], message["author"]
        if not self._history.knows(visitor):
            raise web.HTTPNotFound(text="no such visitor")
        files = message.get("attachments") or []
        line = Line(ident, visitor, author["kind"], author.get("name"), message.get("text"), files, now(), "new")
        if self._history.add(line):
            self._tell(visitor)
        return web.json_response({"provider_message_id": f"webchat-{ident}"})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: every line that is new or changed after `Last-Event-ID`, as it happens."""
        visitor, last = visitor_of(request), request.headers.get("last-event-id", "")
        rev = int(last) if last.isascii() and last.isdigit() else 0
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await stream.prepare(request)
        await stream.write(b"retry: 1000\n\n")
        with self._listening(visitor) as changed:
            while not self._closing:
                changed.clear()
                for line in self._history.since(visitor, rev):
                    rev = line.rev
                    await stream.write(f"id: {rev}\ndata: {json.dumps(asdict(line))}\n\n".encode())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), KEEP_ALIVE_S)
                    continue
                await stream.write(b": still here\n\n")
        return stream

    async def close(self, _: web.Application) -> None:
        """End the listening pages' requests; the pages come back by themselves."""
        self._closing = True
        for visitor in list(self._pages):
            self._tell(visitor)

    @contextlib.contextmanager
    def _listening(self, visitor: str) -> Iterator[asyncio.Event]:
        changed = asyncio.Event()
        self._pages[visitor].add(changed)
        try:
            yield changed
        finally:
            self._pages[visitor].discard(changed)
            if not self._pages[visitor]:
                del self._pages[visitor]

    def _tell(self, visitor: str) -> None:
        for changed in self._pages.get(visitor, ()):
            changed.set()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def visitor_of(request: web.Request) -> str:
    """The visitor's public id. It is a digest of the cookie: agents see it, and cannot pass for the visitor with it."""
    token = request.cookies.get(COOKIE, "")
    if len(token) < 24:
        raise web.HTTPForbidden(text="open the chat page first")
    return "visitor-" + hashlib.sha256(token.encode()).hexdigest()[:24]


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body of our own page's request: JSON only, which other sites' forms cannot send."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="application/json only")
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="not JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="not an object")
    return body
