"""Who counts as what now: the members this replica has met, kept in memory and refreshed by a watch.

A component and the gateway's own MemberDirectory. The watch asks every second which members changed, on all replicas:
so a role set or a member deactivated anywhere counts here within two seconds, sockets included.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from services.gateway.membership import Change, Claims, MemberState, changed, may_change, seen
from services.gateway.store.members import MEMBERS, By, MemberStore, member_key
from shared.runtime.auth import Principal
from shared.runtime.clock import Clock
from shared.runtime.engine_errors import is_away
from shared.runtime.outbox import Outbox
from shared.runtime.problems import Problem
from shared.runtime.tasks import ended

WATCH_EVERY_S = 1.0
OVERLAP = timedelta(seconds=10)
"""A change becomes visible some time after its moment: the watch looks that far back again."""

KEEP_S = 60.0
MAX_KEPT = 50_000
TRIES = 5

_EPOCH = datetime.fromtimestamp(0, UTC)
Refuse = Callable[[str, str], None]
"""(workspace, member id): end what the member still has open. Called again and again."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Kept:
    member: MemberState
    until: float


class Directory:
    def __init__(self, store: MemberStore, outbox: Outbox, refuse: Refuse, clock: Clock) -> None:
        self._store = store
        self._outbox = outbox
        self._refuse = refuse
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._newest: datetime | None = None
        self._watching: asyncio.Task[None] | None = None
        self._announcing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        latest = await self._store.changed_since(None)
        self._newest = latest[0].changed_at if latest else None
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        await ended((self._watching, *self._announcing))

    async def effective(self, principal: Principal) -> Principal:
        """The caller as of now; somebody never seen before becomes a member. Problem 403 `DEACTIVATED`."""
        member = await self._met(principal)
        if not member.active:
            raise Problem(403, "DEACTIVATED", "This member is deactivated in the workspace.")
        return replace(principal, role=member.role, name=member.name)

    async def find(self, workspace: str, ident: str) -> MemberState | None:
        """A member as stored now."""
        return await self._store.find(workspace, ident)

    async def change(self, actor: Principal, ident: str, change: Change) -> MemberState:
        """Set it, audited, and have it published. Problem 403 where the actor's role does not allow it, 409 where
        others keep changing the same member."""
        for _ in range(TRIES):
            before = await self._store.find(actor.workspace, ident) or MemberState(actor.workspace, ident)
            if refusal := may_change((actor.member_id, actor.role), before, change):
                raise Problem(403, "FORBIDDEN", refusal)
            after = changed(before, change)
            if after == before and before.version:
                return before
            by = By(f"agent:{actor.member_id}", self._clock.now())
            if (stored := await self._store.put_audited(before, after, by)) is not None:
                self._learn(stored)
                await self._outbox.flush(MEMBERS, member_key(stored))
                return stored
        raise Problem(409, "CONFLICT", "The member is being changed by others: read it and decide again.")

    async def _met(self, principal: Principal) -> MemberState:
        claims = Claims(principal.name, principal.role, principal.expires_at)
        for _ in range(TRIES):
            member = await self._known(principal.workspace, principal.member_id)
            news = seen(member, claims)
            if news is None:
                return member
            if (stored := await self._store.put(news, By("system", self._clock.now()))) is not None:
                self._learn(stored)
                self._announce(stored)
                return stored
            self._kept.pop((principal.workspace, principal.member_id), None)
        raise Problem(503, "UNAVAILABLE", "The member is being changed by others.", headers={"Retry-After": "1"})

    async def _known(self, workspace: str, ident: str) -> MemberState:
        kept = self._kept.get((workspace, ident))
        if kept is not None and self._clock.monotonic() < kept.until:
            return kept.member
        member = await self._store.find(workspace, ident)
        if member is None:
            return MemberState(workspace, ident)
        self._learn(member)
        return member

    def _learn(self, member: MemberState) -> None:
        key = (member.workspace, member.id)
        kept = self._kept.get(key)
        if kept is not None and kept.member.version > member.version:
            return
        self._kept[key] = _Kept(member, self._clock.monotonic() + KEEP_S)
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        if not member.active:
            self._refuse(member.workspace, member.id)

    def _announce(self, member: MemberState) -> None:
        """Nobody's first request waits for Kafka: what isn't published now is swept."""
        task = asyncio.create_task(self._published(member))
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)

    async def _published(self, member: MemberState) -> None:
        with suppress(Exception):
            await self._outbox.flush(MEMBERS, member_key(member))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            try:
                await self._look()
            except Exception as error:
                if not is_away(error):
                    log.error("the watch of members fails", exc_info=error)

    async def _look(self) -> None:
        since = self._newest - OVERLAP if self._newest else _EPOCH
        for watched in await self._store.changed_since(since):
            self._newest = max(self._newest or watched.changed_at, watched.changed_at)
            member = watched.member
            if not member.active or (member.workspace, member.id) in self._kept:
                self._learn(member)
