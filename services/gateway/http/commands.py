"""What members ask for: replies, notes, assignment, bot, close, reopen; and what became of a command."""

import re
from collections.abc import Awaitable, Callable

from fastapi import FastAPI

from services.gateway.bodies import AssignmentBody, Body, BotBody, NoBody, NoteBody, ReplyBody
from services.gateway.commanding import Asked, Stamp
from services.gateway.core import ConversationState
from services.gateway.http.answers import answer, outcome
from services.gateway.http.gateway import Asking, Asks, Gateway
from services.gateway.replying import Replying
from shared.contracts.commands import AddNote, Assign, Close, Command, DisableBot, EnableBot, Reopen
from shared.contracts.ids import UUID_PATTERN
from shared.runtime.http import Caller, Json, Problem, not_found, route

Build = Callable[[ConversationState, Stamp], Awaitable[Command]]

_UUID = re.compile(UUID_PATTERN)


class CommandRoutes:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._replying = Replying(gateway.snippets, gateway.attaching, gateway.channels)

    def add(self, app: FastAPI) -> None:
        of_conversation = "/v1/conversations/{conversation_id}"
        route(app, "POST", of_conversation + "/messages", status=201)(self.reply)
        route(app, "POST", of_conversation + "/notes", status=201)(self.note)
        route(app, "POST", of_conversation + "/assignment")(self.assign)
        route(app, "POST", of_conversation + "/bot")(self.set_bot)
        route(app, "POST", of_conversation + "/close")(self.close)
        route(app, "POST", of_conversation + "/reopen")(self.reopen)
        route(app, "GET", "/v1/commands/{command_id}")(self.outcome)

    async def reply(self, asks: Asks, conversation_id: str, body: ReplyBody) -> Json:
        async def build(state: ConversationState, stamp: Stamp) -> Command:
            return await self._replying.command(asks.principal, state, body, stamp)

        return await self._run(asks, conversation_id, body, build, 201)

    async def note(self, asks: Asks, conversation_id: str, body: NoteBody) -> Json:
        async def build(state: ConversationState, stamp: Stamp) -> Command:
            return AddNote(**stamp.fields(), text=body.text)

        return await self._run(asks, conversation_id, body, build, 201)

    async def assign(self, asks: Asks, conversation_id: str, body: AssignmentBody) -> Json:
        async def build(state: ConversationState, stamp: Stamp) -> Command:
            await self._check_assignee(state.workspace, body.assignee)
            return Assign(**stamp.fields(), assignee=body.assignee, expected_version=body.expected_version)

        return await self._run(asks, conversation_id, body, build)

    async def set_bot(self, asks: Asks, conversation_id: str, body: BotBody) -> Json:
        async def build(state: ConversationState, stamp: Stamp) -> Command:
            kind = self._gateway.channels.bot_kind(state.workspace, state.channel_id)
            return EnableBot(**stamp.fields(), bot_kind=kind) if body.enabled else DisableBot(**stamp.fields())

        return await self._run(asks, conversation_id, body, build)

    async def close(self, asks: Asks, conversation_id: str, body: NoBody | None = None) -> Json:
        async def build(state: ConversationState, stamp: Stamp) -> Command:
            return Close(**stamp.fields())

        return await self._run(asks, conversation_id, body or NoBody(), build)

    async def reopen(self, asks: Asks, conversation_id: str, body: NoBody | None = None) -> Json:
        async def build(state: ConversationState, stamp: Stamp) -> Command:
            return Reopen(**stamp.fields())

        return await self._run(asks, conversation_id, body or NoBody(), build)

    async def outcome(self, principal: Caller, command_id: str) -> Json:
        known = _UUID.fullmatch(command_id) is not None
        command = await self._gateway.commands.find(command_id, principal.workspace) if known else None
        if command is None or command.member != principal.member_id:
            raise not_found("There is no such command of yours.")
        return Json(await outcome(self._gateway, principal, command))

    async def _run(self, asks: Asking, conversation_id: str, body: Body, build: Build, status: int = 200) -> Json:
        state = await self._gateway.reader.conversation(asks.principal, conversation_id)

        async def built(stamp: Stamp) -> Command:
            return await build(state, stamp)

        asked = Asked(asks.principal, state.id, asks.key, asks.digest(body), built)
        return await answer(self._gateway, asks.principal, await self._gateway.commander.run(asked), status)

    async def _check_assignee(self, workspace: str, assignee: str | None) -> None:
        if assignee is None:
            return
        member = await self._gateway.directory.find(workspace, assignee)
        if member is None or not member.active:
            raise Problem(422, "UNKNOWN_MEMBER", "The assignee is no active member of this workspace.")
