"""Read marks."""

from fastapi import FastAPI

from services.gateway import views
from services.gateway.bodies import ReadBody
from services.gateway.http.answers import plain
from services.gateway.http.gateway import Gateway
from shared.runtime.http import Caller, Json, route


class MarkRoutes:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def add(self, app: FastAPI) -> None:
        route(app, "POST", "/v1/conversations/{conversation_id}/read")(self.read)

    async def read(self, principal: Caller, conversation_id: str, body: ReadBody) -> Json:
        """A seq beyond what is known here is waited for: the client has heard of it on the stream."""
        state = await self._gateway.reader.conversation(principal, conversation_id, body.up_to_seq)
        if body.up_to_seq:
            state = await self._gateway.marker.mark(state, principal.member_id, body.up_to_seq)
        return Json(plain(views.conversation(state, self._gateway.channels)))
