"""Finding what a member asks for: within their workspace, if they may see it, as new as they know it to be."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.gateway.core import ConversationState
from services.gateway.ports import EventLog
from services.gateway.store.inbox import InboxStore
from shared.contracts.ids import UUID_PATTERN, conversation_id
from shared.runtime.auth import Principal
from shared.runtime.clock import Clock
from shared.runtime.problems import Problem, not_found

WAIT_S = 2.0
FIRST_POLL_S = 0.005
LONGEST_POLL_S = 0.1

_UUID = re.compile(UUID_PATTERN)
T = TypeVar("T")


def may_see(member: Principal, conversation: ConversationState) -> bool:
    """The one place where access within a workspace is decided; every route passes it. Today: all see all."""
    return member.workspace == conversation.workspace


class Reader:
    def __init__(self, store: InboxStore, log: EventLog, clock: Clock) -> None:
        self._store = store
        self._log = log
        self._clock = clock

    async def conversation(self, member: Principal, ident: str, min_seq: int = 0) -> ConversationState:
        """An opened conversation whose seq is at least `min_seq`. Problem 404, or 503 `LAGGING` after 2 s."""
        state = await self._known(member, ident)
        if state.status is None:
            raise not_found("There is no such conversation.")
        if state.seq >= min_seq:
            return state
        return await self.until(state, lambda now: now.seq >= min_seq, WAIT_S)

    async def contact(self, member: Principal, ident: str) -> ConversationState:
        """The conversation state that holds the contact; perhaps not opened yet. Problem 404."""
        state = await self._known(member, self.conversation_of(ident))
        if state.contact is None or state.contact.id != ident:
            raise not_found("There is no such contact.")
        return state

    def conversation_of(self, contact: str) -> str:
        """The id of a contact's conversation, whether or not there is one. Problem 404 for what can't be a contact."""
        if not _UUID.fullmatch(contact):
            raise not_found("There is no such contact.")
        return conversation_id(contact)

    async def until(
        self, state: ConversationState, good: Callable[[ConversationState], bool], seconds: float
    ) -> ConversationState:
        """The conversation as soon as it is as wanted. Problem 503 `LAGGING` when that takes longer than `seconds`."""

        async def probe() -> ConversationState | None:
            now = await self._store.conversation(state.workspace, state.id)
            return now if now is not None and good(now) else None

        return await self._polled(probe, seconds)

    async def position(self, workspace: str) -> int:
        """Up to where the read model has this workspace's events: the first offset that it has not."""
        return await self._store.position(self._log.position_of(workspace))

    async def _known(self, member: Principal, ident: str) -> ConversationState:
        if not _UUID.fullmatch(ident):
            raise not_found()
        state = await self._store.conversation(member.workspace, ident)
        if state is None or state.status is None:
            await self._catch_up(member.workspace)
            state = await self._store.conversation(member.workspace, ident)
        if state is None or not may_see(member, state):
            raise not_found()
        return state

    async def _catch_up(self, workspace: str) -> None:
        """A client may have heard on the stream of what the read model does not have yet: before anything is said not
        to be there, the read model is as new as the log was when it was asked. Transient: Kafka doesn't answer."""
        end = await self._log.end_offset(workspace)

        async def probe() -> bool:
            return await self.position(workspace) >= end

        await self._polled(probe, WAIT_S)

    async def _polled(self, probe: Callable[[], Awaitable[T | None]], seconds: float) -> T:
        deadline, pause = self._clock.monotonic() + seconds, FIRST_POLL_S
        while not (found := await probe()):
            if self._clock.monotonic() >= deadline:
                raise Problem(503, "LAGGING", "The read model has not caught up yet.", headers={"Retry-After": "1"})
            await asyncio.sleep(pause)
            pause = min(LONGEST_POLL_S, pause * 2)
        return found
