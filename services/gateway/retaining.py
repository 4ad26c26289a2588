"""Contacts whose conversations were idle for longer than the installation keeps them are erased: by commands.

Nothing has to be remembered: what is to be done follows from the inbox. A command's id follows from where the
conversation stands, so all replicas may do it; if something happens in between, routing refuses (`CONFLICT`).
"""

from datetime import timedelta

import structlog

from services.gateway.commanding import Commander
from services.gateway.core import ConversationState
from services.gateway.store.documents import activity
from services.gateway.store.inbox import InboxStore
from shared.contracts.commands import Actor, EraseContact
from shared.contracts.ids import canonical, command_id
from shared.contracts.times import to_timestamp
from shared.runtime.clock import Clock

EVERY_S = 3600.0
AT_ONCE = 200

log = structlog.stdlib.get_logger(__name__)


class Retaining:
    def __init__(self, inbox: InboxStore, commander: Commander, clock: Clock, keep: timedelta) -> None:
        self._inbox = inbox
        self._commander = commander
        self._clock = clock
        self._keep = keep

    async def sweep(self) -> int:
        """One look at all workspaces; answers how many contacts were asked to be erased."""
        asked = sum([await self._sweep(workspace) for workspace in await self._inbox.workspaces()])
        if asked:
            log.info("contacts idle for too long are being erased", contacts=asked, idle_days=self._keep.days)
        return asked

    async def _sweep(self, workspace: str) -> int:
        asked, after = 0, ""
        before = to_timestamp(self._clock.now() - self._keep)
        while idle := await self._inbox.idle(workspace, before, after, AT_ONCE):
            for state in idle:
                await self._commander.send(self._command(state))
            asked, after = asked + len(idle), activity(idle[-1])
        return asked

    def _command(self, state: ConversationState) -> EraseContact:
        return EraseContact(
            id=command_id(state.workspace, "", canonical("retention", state.id, state.seq)),
            workspace=state.workspace,
            conversation_id=state.id,
            actor=Actor(kind="system", id=None, name=None),
            accepted_at=to_timestamp(self._clock.now()),
            reason="retention",
            expected_seq=state.seq,
        )
