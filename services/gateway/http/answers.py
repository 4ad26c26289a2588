"""A command's outcome as the answer to a request: decided, refused, or not known yet."""

from collections.abc import Mapping
from typing import Any

from services.gateway import views
from services.gateway.http.gateway import Gateway
from services.gateway.store.commands import CommandState
from shared.contracts.events import TYPE_OF, ContactErased
from shared.contracts.shape import Shape
from shared.runtime.auth import Principal
from shared.runtime.http import Json


async def answer(gateway: Gateway, caller: Principal, command: CommandState, status: int = 200) -> Json:
    """`status` for an accepted command, 202 with `Location` for an undecided one. Problem for a rejected one."""
    match command.status:
        case "pending":
            where = {"Location": f"/v1/commands/{command.id}"}
            return Json({"id": command.id, "status": "pending"}, 202, where)
        case "rejected":
            raise views.refusal(command)
        case "accepted":
            return Json(await _result(gateway, caller, command), status)


async def outcome(gateway: Gateway, caller: Principal, command: CommandState) -> dict[str, Any]:
    """What became of a command, for somebody who asks later."""
    shown: dict[str, Any] = {"id": command.id, "status": command.status}
    match command.status:
        case "pending":
            return shown
        case "rejected":
            return shown | {"problem": views.refusal(command).document()}
        case "accepted":
            return shown | {"result": await _result(gateway, caller, command)}


async def _result(gateway: Gateway, caller: Principal, command: CommandState) -> Mapping[str, Any]:
    """What an accepted command made: the message, the contact, else the conversation as it is now. Problem 404 where it
    was erased since."""
    assert command.ending is not None
    if command.ending.type == TYPE_OF[ContactErased]:
        return command.ending.data
    for made in ("message", "contact"):
        if made in command.ending.data:
            return dict(command.ending.data[made])
    state = await gateway.reader.conversation(caller, command.conversation_id)
    return plain(views.conversation(state, gateway.channels))


def plain(shape: Shape) -> dict[str, Any]:
    return shape.model_dump(mode="json")
