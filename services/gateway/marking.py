"""Marks how far a member has read, and has it told to everybody."""

from dataclasses import dataclass
from uuid import UUID, uuid5

from services.gateway.core import ConversationState
from services.gateway.reading import Reader
from services.gateway.store.marks import MARKS, Mark, MarkStore
from shared.contracts.events import TYPE_OF, CloudEvent, ConversationRead
from shared.contracts.ids import canonical
from shared.contracts.times import to_timestamp
from shared.contracts.topics import WORKSPACE_EVENTS
from shared.runtime.clock import Clock
from shared.runtime.outbox import Outbox
from shared.runtime.records import Outgoing

WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Marker:
    store: MarkStore
    outbox: Outbox
    reader: Reader
    clock: Clock

    async def mark(self, state: ConversationState, member: str, up_to_seq: int) -> ConversationState:
        """The conversation with the mark in it. `up_to_seq` is not beyond the conversation's end. Transient or 503
        `LAGGING` where the mark is kept and its effect comes later."""
        mark = Mark(state.workspace, state.id, member, up_to_seq)
        await self.store.raise_to(mark, self._record(mark), self.clock.now())
        await self.outbox.flush(MARKS, mark.key)
        return await self.reader.until(state, lambda now: now.read_up_to >= up_to_seq, WAIT_S)

    def _record(self, mark: Mark) -> Outgoing:
        ident = str(uuid5(UUID(mark.conversation_id), canonical("read", mark.member, mark.up_to_seq)))
        event = CloudEvent(
            id=ident,
            type=TYPE_OF[ConversationRead],
            source="relaydesk/gateway",
            subject=mark.conversation_id,
            time=to_timestamp(self.clock.now()),
            workspace=mark.workspace,
            causationid=ident,
            actor=f"agent:{mark.member}",
            data=ConversationRead(member=mark.member, up_to_seq=mark.up_to_seq).model_dump(),
        )
        return Outgoing(WORKSPACE_EVENTS, mark.workspace, event.encoded(), event.headers())
