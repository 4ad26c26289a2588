"""Members of a workspace as rules: what a token says of somebody, what was set here, and which of both counts.

Pure. A role or name that was set here overrides the token's, for good. Must not know documents, HTTP or the clock.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid5

from shared.contracts.events import TYPE_OF, CloudEvent, MemberUpdated
from shared.contracts.ids import canonical
from shared.contracts.resources import Member, Presence, Role

_CHANGES = uuid5(UUID(int=0), "relaydesk.members")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says of its bearer. Of two tokens the one that expires later is believed."""

    name: str
    role: Role
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be set; None leaves a value as it is."""

    role: Role | None = None
    name: str | None = None
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class MemberState:
    """`version` 0: not stored yet."""

    workspace: str
    id: str
    version: int = 0
    active: bool = True
    claims: Claims | None = None
    role_set: Role | None = None
    name_set: str | None = None

    @property
    def role(self) -> Role:
        if self.role_set is not None:
            return self.role_set
        return self.claims.role if self.claims else "agent"

    @property
    def name(self) -> str:
        return self.name_set or (self.claims.name if self.claims else self.id)

    def shown(self, presence: Presence = "offline") -> Member:
        return Member(
            id=self.id, name=self.name, role=self.role, active=self.active, presence=presence, version=self.version
        )


def seen(state: MemberState, claims: Claims) -> MemberState | None:
    """The member after showing a token; None where that says nothing new. `version` is for the store to raise."""
    known = state.claims
    if known is not None and (claims.expires_at < known.expires_at or _same(known, claims)):
        return None
    return replace(state, claims=claims)


def _same(known: Claims, claims: Claims) -> bool:
    """A fresh token with the same content is no news, or each of them would be a write."""
    return (known.name, known.role) == (claims.name, claims.role)


def changed(state: MemberState, change: Change) -> MemberState:
    return replace(
        state,
        role_set=change.role or state.role_set,
        name_set=change.name or state.name_set,
        active=state.active if change.active is None else change.active,
    )


def may_change(actor: tuple[str, Role], state: MemberState, change: Change) -> str | None:
    """Why `actor` (member id, role) must not make this change; None where it may.

    Nobody locks themselves out, and only an owner makes or unmakes one. Deployment: an installation's first owner comes
    from its tokens.
    """
    member_id, role = actor
    if member_id == state.id and change.active is False:
        return "Nobody deactivates themselves: ask another owner or manager."
    if role != "owner" and "owner" in (state.role, change.role):
        return "Only an owner may change an owner, or make somebody one."
    return None


def updated(state: MemberState, actor: str, time: str) -> CloudEvent:
    """`member.updated` as of the state's version; the same version makes the same id. Presence is no part of what is
    stored, and here always `offline`."""
    ident = str(uuid5(_CHANGES, canonical(state.workspace, state.id, state.version)))
    return CloudEvent(
        id=ident,
        type=TYPE_OF[MemberUpdated],
        source="relaydesk/gateway",
        subject=state.id,
        time=time,
        workspace=state.workspace,
        version=state.version,
        causationid=ident,
        actor=actor,
        data=MemberUpdated(member=state.shown()).model_dump(mode="json"),
    )
