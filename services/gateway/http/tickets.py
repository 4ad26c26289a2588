"""Tickets for the stream."""

from fastapi import FastAPI

from services.gateway.http.gateway import Gateway
from shared.runtime.http import Caller, Json, route


class TicketRoutes:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def add(self, app: FastAPI) -> None:
        route(app, "POST", "/v1/stream/ticket")(self.ticket)

    async def ticket(self, principal: Caller) -> Json:
        made = self._gateway.stream.ticket(principal)
        return Json({"ticket": made.ticket, "url": made.url, "expires_at": made.expires_at})
