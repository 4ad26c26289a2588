"""From a member's request to a command's outcome, once however often it is asked (DESIGN 7, Idempotency-Key).

Death between two awaits: before `add` nothing was taken; after it the document's `pending` is swept and published;
after the publish the outcome is stored by the projector, whoever waits for it. A repeat finds the document and goes on
from there; publishing twice is safe, because the decider knows the command's id.
"""

import hashlib
import json
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import uuid4

from services.gateway.outcomes import Outcomes
from services.gateway.store.commands import CommandState, CommandStore, NewCommand
from shared.contracts.commands import Actor, Command
from shared.contracts.ids import command_id, document_key
from shared.contracts.times import to_timestamp
from shared.contracts.topics import CONVERSATION_COMMANDS
from shared.contracts.wire import encode
from shared.runtime.auth import Principal
from shared.runtime.clock import Clock
from shared.runtime.outbox import Publisher
from shared.runtime.problems import Problem
from shared.runtime.records import Outgoing

MAX_KEY = 255
WAIT_S = 5.0
PATIENCE_S = 0.5
"""How long a repeat waits for an outcome before it has the command produced again."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every command record begins with."""

    id: str
    workspace: str
    conversation_id: str
    actor: Actor
    accepted_at: datetime

    def fields(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "workspace": self.workspace,
            "conversation_id": self.conversation_id,
            "actor": self.actor,
            "accepted_at": to_timestamp(self.accepted_at),
        }


class Build(Protocol):
    """Checks what may refuse the command (Problem) and makes its record. Not asked again for a repeat."""

    def __call__(self, stamp: Stamp) -> Awaitable[Command]: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a command. `digest` stands for all of it; without a `key` it can't be repeated."""

    principal: Principal
    conversation_id: str
    key: str | None
    digest: str
    build: Build


def digest_of(method: str, path: str, body: Any) -> str:
    """Of a request: the same for the same meaning. `body` is plain JSON data."""
    canonical = json.dumps([method, path, body], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def checked_key(key: str | None) -> str | None:
    """Problem 422 for a key that can't be one."""
    if key is not None and not 0 < len(key) <= MAX_KEY:
        fault = {"field": "Idempotency-Key", "code": "length", "detail": f"1 to {MAX_KEY} characters"}
        raise Problem(422, "INVALID", f"An Idempotency-Key has 1 to {MAX_KEY} characters.", errors=[fault])
    return key


def record_of(command: Command) -> Outgoing:
    key = document_key(command.workspace, command.conversation_id)
    return Outgoing(CONVERSATION_COMMANDS, key, encode(command), (("type", command.type.encode()),))


class Commander:
    def __init__(self, store: CommandStore, outcomes: Outcomes, publisher: Publisher, clock: Clock) -> None:
        self._store = store
        self._outcomes = outcomes
        self._publisher = publisher
        self._clock = clock
        self._under_way: set[str] = set()

    async def run(self, asked: Asked) -> CommandState:
        """The command, decided or not within 5 s. Problem for a refusal and for a key with another request; Transient
        where it is not known whether the command was taken: ask again with the same key."""
        caller = asked.principal
        ident = command_id(caller.workspace, caller.member_id, asked.key or uuid4().hex)
        known = await self._store.find(ident, caller.workspace) if asked.key else None
        if known is None:
            new = await self._new(ident, asked)
            if await self._store.add(new, self._clock.now()):
                return await self._first(new)
            known = await self._store.find(ident, caller.workspace)
            assert known is not None, "what is in the way of an insert is there"
        return await self._again(known, asked.digest)

    async def send(self, command: Command) -> None:
        """A command of nobody's request: taken once per id, its outcome not waited for."""
        new = NewCommand(command.id, command.workspace, "", "", command.conversation_id, record_of(command))
        if await self._store.add(new, self._clock.now()):
            await self._publisher.publish([new.record])

    async def _new(self, ident: str, asked: Asked) -> NewCommand:
        caller = asked.principal
        actor = Actor(kind="agent", id=caller.member_id, name=caller.name)
        stamp = Stamp(ident, caller.workspace, asked.conversation_id, actor, self._clock.now())
        record = record_of(await asked.build(stamp))
        return NewCommand(ident, caller.workspace, caller.member_id, asked.digest, asked.conversation_id, record)

    async def _first(self, new: NewCommand) -> CommandState:
        state = CommandState(
            new.id, new.workspace, new.member, new.digest, new.conversation_id, "pending", None, new.record
        )
        self._under_way.add(new.id)
        try:
            await self._publisher.publish([new.record])
            return await self._outcomes.wait(state, WAIT_S)
        finally:
            self._under_way.discard(new.id)

    async def _again(self, known: CommandState, digest: str) -> CommandState:
        if known.digest != digest:
            raise Problem(422, "KEY_REUSED", "This Idempotency-Key came with another request before.")
        if known.id in self._under_way:
            return await self._outcomes.wait(known, WAIT_S)
        known = await self._outcomes.wait(known, PATIENCE_S)
        if known.record is not None:
            await self._publisher.publish([known.record])
            known = await self._outcomes.wait(known, WAIT_S - PATIENCE_S)
        return known
