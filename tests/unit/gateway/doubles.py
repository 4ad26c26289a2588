"""In-memory stand-ins for what the gateway's use cases stand on."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from services.gateway.store.commands import CommandState, Ending, NewCommand, Status
from shared.runtime.faults import Transient
from shared.runtime.records import Outgoing


class Commands:
    """`services.gateway.store.commands.CommandStore`."""

    def __init__(self) -> None:
        self.kept: dict[str, CommandState] = {}
        self.asked = 0
        self.fault: Exception | None = None

    async def add(self, command: NewCommand, now: datetime) -> bool:
        if command.id in self.kept:
            return False
        self.kept[command.id] = CommandState(
            command.id,
            command.workspace,
            command.member,
            command.digest,
            command.conversation_id,
            "pending",
            None,
            command.record,
        )
        return True

    async def find(self, ident: str, workspace: str) -> CommandState | None:
        self.asked += 1
        found = self.kept.get(ident)
        return found if found is not None and found.workspace == workspace else None

    async def find_all(self, commands: Mapping[str, str]) -> dict[str, CommandState]:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        found = (self.kept.get(ident) for ident in commands)
        return {one.id: one for one in found if one is not None and one.workspace == commands[one.id]}

    def decide(self, ident: str, status: Status = "accepted") -> None:
        ending = Ending("relaydesk.message.sent.v1", 4, {"message": {"text": "hi"}})
        self.kept[ident] = replace(self.kept[ident], status=status, ending=ending, record=None)


class Broker:
    """Takes records while `up`."""

    def __init__(self) -> None:
        self.up = True
        self.taken: list[Outgoing] = []
        self.arrivals: asyncio.Queue[Outgoing] = asyncio.Queue()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        if not self.up:
            raise Transient("no broker")
        for record in records:
            self.taken.append(record)
            self.arrivals.put_nowait(record)
