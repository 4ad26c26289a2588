"""Where the event log stands, as far as a workspace is concerned."""

from services.gateway.ports import LiveStream
from services.gateway.projector import position_of
from shared.contracts.topics import WORKSPACE_EVENTS
from shared.runtime.consumer import GroupConsumer
from shared.runtime.incarnations import Incarnations


class WorkspaceLog:
    """`services.gateway.ports.EventLog`."""

    def __init__(self, stream: LiveStream, incarnations: Incarnations, group: GroupConsumer) -> None:
        self._stream = stream
        self._incarnations = incarnations
        self._group = group

    def position_of(self, workspace: str) -> str:
        return position_of(self._stream.partition_of(workspace), self._incarnations.of(WORKSPACE_EVENTS))

    async def end_offset(self, workspace: str) -> int:
        return await self._group.end_offset((WORKSPACE_EVENTS, self._stream.partition_of(workspace)))
