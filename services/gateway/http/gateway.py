"""What the routes are given, and what several of them share."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from services.gateway.attaching import Attaching
from services.gateway.bodies import MAX_SEQ, Body
from services.gateway.channels import Channels
from services.gateway.commanding import Commander, checked_key, digest_of
from services.gateway.directory import Directory
from services.gateway.exporting import Exporting
from services.gateway.marking import Marker
from services.gateway.ports import LiveStream, Snippets
from services.gateway.reading import Reader
from services.gateway.store.commands import CommandStore
from services.gateway.store.inbox import InboxStore
from services.gateway.store.members import MemberStore
from services.gateway.store.search import SearchStore
from services.gateway.unassigning import Unassigning
from shared.runtime.auth import Principal
from shared.runtime.http import Caller

MinSeq = Annotated[int, Query(ge=0, le=MAX_SEQ)]


@dataclass(frozen=True)
class Gateway:
    """The parts behind the routes."""

    reader: Reader
    commander: Commander
    marker: Marker
    directory: Directory
    unassigning: Unassigning
    inbox: InboxStore
    search: SearchStore
    members: MemberStore
    commands: CommandStore
    channels: Channels
    snippets: Snippets
    attaching: Attaching
    exporting: Exporting
    stream: LiveStream


@dataclass(frozen=True)
class Asking:
    """Who asks for a command, how, and under which key."""

    principal: Principal
    method: str
    path: str
    key: str | None

    def digest(self, body: Body) -> str:
        """Stands for the whole request."""
        return digest_of(self.method, self.path, body.model_dump(mode="json", exclude_unset=True))


def asking(request: Request, principal: Caller, idempotency_key: Annotated[str | None, Header()] = None) -> Asking:
    """Problem 422 for an impossible key."""
    return Asking(principal, request.method, request.url.path, checked_key(idempotency_key))


Asks = Annotated[Asking, Depends(asking)]
