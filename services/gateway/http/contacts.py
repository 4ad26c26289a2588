"""Contacts: as known now, or all that is kept of one; changing and erasing them are commands of their conversation."""

from typing import Any

import structlog
from fastapi import FastAPI
from starlette.responses import Response, StreamingResponse

from services.gateway.bodies import ContactBody, NoBody
from services.gateway.commanding import Asked, Stamp
from services.gateway.http.answers import answer, plain
from services.gateway.http.gateway import Asks, Gateway
from shared.contracts.commands import Command, EraseContact, UpdateContact
from shared.runtime.http import Caller, Json, Problem, route

log = structlog.stdlib.get_logger(__name__)


class ContactRoutes:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def add(self, app: FastAPI) -> None:
        route(app, "GET", "/v1/contacts/{contact_id}")(self.one)
        route(app, "PATCH", "/v1/contacts/{contact_id}")(self.change)
        route(app, "DELETE", "/v1/contacts/{contact_id}", status=204)(self.erase)
        route(app, "GET", "/v1/contacts/{contact_id}/export")(self.export)

    async def one(self, principal: Caller, contact_id: str) -> Json:
        state = await self._gateway.reader.contact(principal, contact_id)
        assert state.contact is not None
        return Json(plain(state.contact))

    async def change(self, asks: Asks, contact_id: str, body: ContactBody) -> Json:
        state = await self._gateway.reader.contact(asks.principal, contact_id)

        async def build(stamp: Stamp) -> Command:
            fields: dict[Any, str | None] = body.model_dump(exclude_unset=True)
            if not fields:
                raise Problem(422, "INVALID", "Name at least one field to change.")
            return UpdateContact(**stamp.fields(), fields=fields)

        asked = Asked(asks.principal, state.id, asks.key, asks.digest(body), build)
        command = await self._gateway.commander.run(asked)
        if command.status == "accepted":
            return await self.one(asks.principal, contact_id)
        return await answer(self._gateway, asks.principal, command)

    async def erase(self, asks: Asks, contact_id: str, body: NoBody | None = None) -> Response:
        """A repeat under the same key is answered as the first one was, although there is no contact any more."""

        async def build(stamp: Stamp) -> Command:
            await self._gateway.reader.contact(asks.principal, contact_id)
            return EraseContact(**stamp.fields(), reason="request")

        conversation = self._gateway.reader.conversation_of(contact_id)
        asked = Asked(asks.principal, conversation, asks.key, asks.digest(body or NoBody()), build)
        command = await self._gateway.commander.run(asked)
        if command.status == "accepted":
            return Response(status_code=204)
        return await answer(self._gateway, asks.principal, command)

    async def export(self, principal: Caller, contact_id: str) -> StreamingResponse:
        state = await self._gateway.reader.contact(principal, contact_id)
        log.info("a contact is exported", contact_id=contact_id, member=principal.member_id)
        name = f'attachment; filename="contact-{contact_id}.json"'
        headers = {"Content-Disposition": name, "Cache-Control": "no-store"}
        document = self._gateway.exporting.document(state)
        return StreamingResponse(document, media_type="application/json", headers=headers)
