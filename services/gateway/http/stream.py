"""How members get to the live stream: a ticket for the WebSocket, or server-sent events right here."""

from typing import Annotated

from fastapi import FastAPI, Header, Response

from services.gateway.http.gateway import Gateway
from shared.runtime.http import Caller, Json, route


class StreamRoutes:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def add(self, app: FastAPI) -> None:
        route(app, "POST", "/v1/stream/ticket")(self.ticket)
        route(app, "GET", "/v1/events")(self.events)

    async def ticket(self, principal: Caller) -> Json:
        made = self._gateway.stream.ticket(principal)
        return Json({"ticket": made.ticket, "url": made.url, "expires_at": made.expires_at})

    async def events(
        self,
        principal: Caller,
        cursor: str = "",
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """`Last-Event-ID` is what a client that comes back has; `cursor` is for its first time."""
        return self._gateway.stream.event_source(principal, last_event_id or cursor)
