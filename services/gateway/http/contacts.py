"""Contacts: as known now; changing their fields is a command of their conversation."""

from typing import Any

from fastapi import FastAPI

from services.gateway.bodies import ContactBody
from services.gateway.commanding import Asked, Stamp
from services.gateway.http.answers import answer, plain
from services.gateway.http.gateway import Asks, Gateway
from shared.contracts.commands import Command, UpdateContact
from shared.runtime.http import Caller, Json, Problem, route


class ContactRoutes:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def add(self, app: FastAPI) -> None:
        route(app, "GET", "/v1/contacts/{contact_id}")(self.one)
        route(app, "PATCH", "/v1/contacts/{contact_id}")(self.change)

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
