"""Open conversations of deactivated members become unassigned: by commands, like all that changes a conversation.

A component. Nothing has to be remembered: what is to be done follows from the members and the inbox, at start, every
minute, and at once when somebody is deactivated here. So a conversation that was assigned in the same moment, or that
its customer reopens later, is found too. A command's id follows from the assignment it undoes: all replicas may do it.
"""

import asyncio
from contextlib import suppress

import structlog

from services.gateway.commanding import Commander
from services.gateway.core import ConversationState
from services.gateway.membership import MemberState
from services.gateway.store.documents import activity
from services.gateway.store.inbox import Inbox, InboxStore, Page
from services.gateway.store.members import MemberStore, member_key
from shared.contracts.commands import Actor, Assign
from shared.contracts.ids import canonical, command_id
from shared.contracts.times import to_timestamp
from shared.runtime.clock import Clock
from shared.runtime.tasks import ended

EVERY_S = 60.0
AT_ONCE = 200

log = structlog.stdlib.get_logger(__name__)


class Unassigning:
    def __init__(self, members: MemberStore, inbox: InboxStore, commander: Commander, clock: Clock) -> None:
        self._members = members
        self._inbox = inbox
        self._commander = commander
        self._clock = clock
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        await ended([self._task])

    def soon(self) -> None:
        """Look now. Does not wait."""
        self._wanted.set()

    async def sweep(self) -> int:
        """One look at all deactivated members; answers how many conversations were asked to be unassigned."""
        asked, after = 0, ""
        while members := await self._members.inactive(after, AT_ONCE):
            for member in members:
                asked += await self._unassign(member)
            after = member_key(members[-1])
        return asked

    async def _run(self) -> None:
        while True:
            self._wanted.clear()
            try:
                await self.sweep()
            except Exception as error:  # noqa: BLE001 - the sweep outlives every outage
                log.warning("unassigning will be tried again", reason=type(error).__name__)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._wanted.wait()

    async def _unassign(self, member: MemberState) -> int:
        """Pages by activity, which an assignment moves upwards: what moves meanwhile is found by the next sweep."""
        asked, after = 0, None
        theirs = Inbox(member.workspace, member.id, "mine", "open")
        if not (await self._inbox.counts(member.workspace, member.id)).mine:
            return 0
        while conversations := await self._inbox.page(theirs, Page(AT_ONCE, after)):
            for conversation in conversations:
                await self._commander.send(self._command(conversation))
            asked, after = asked + len(conversations), activity(conversations[-1])
        return asked

    def _command(self, conversation: ConversationState) -> Assign:
        cause = canonical("unassign", conversation.id, conversation.assigned_seq)
        return Assign(
            id=command_id(conversation.workspace, "", cause),
            workspace=conversation.workspace,
            conversation_id=conversation.id,
            actor=Actor(kind="system", id=None, name=None),
            accepted_at=to_timestamp(self._clock.now()),
            assignee=None,
            expected_version=conversation.assigned_seq,
        )
