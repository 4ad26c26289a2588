"""What the gateway's parts expect of each other, as Protocols; `app.py` puts the real things in."""

from collections.abc import Callable
from typing import Protocol

from starlette.responses import Response

from shared.contracts.resources import Presence
from shared.runtime.auth import Principal


class StreamTicket(Protocol):
    """What lets a member connect once; `expires_at` as on the wire."""

    @property
    def ticket(self) -> str: ...

    @property
    def url(self) -> str: ...

    @property
    def expires_at(self) -> str: ...


class LiveStream(Protocol):
    """The stream as the rest of the gateway sees it (built in `services.gateway.stream`). No call blocks."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def cursor_at(self, workspace: str, partition: int, offset: int) -> str:
        """An authenticated cursor of a projector position; `offset` is the first one that is *not* applied yet."""

    def partition_of(self, workspace: str) -> int:
        """The partition of `workspace.events` that carries this workspace."""

    def on_final(self, callback: Callable[[str], None]) -> None:
        """Have `callback(command id)` called when this replica's reader sees a command's last event or outcome."""

    def ticket(self, principal: Principal) -> StreamTicket: ...

    def event_source(self, principal: Principal, cursor: str) -> Response:
        """The stream as server-sent events, from a cursor on ("": from now on). Problem 503 while draining, or full."""

    def presence_of(self, workspace: str, member_id: str) -> Presence:
        """Whether the member is there, as far as this replica has read."""

    async def drain(self) -> None:
        """Send everybody away; repeatable."""

    def refuse_member(self, workspace: str, member_id: str) -> None:
        """Close the member's sockets with 4003. May be called again and again."""


class EventLog(Protocol):
    """The log that the read model is made from, as far as a workspace is concerned."""

    def position_of(self, workspace: str) -> str:
        """The id of the position of the workspace's partition."""

    async def end_offset(self, workspace: str) -> int:
        """The offset after the last event of the workspace's partition. Transient when the broker does not answer."""


class Snippets(Protocol):
    async def render(self, principal: Principal, snippet_id: str, contact_id: str) -> str:
        """The snippet's text for a contact, in the member's name. Problem: 404, 409 `MISSING_VALUE`, 503."""
