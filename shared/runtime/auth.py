"""Who is calling: bearer tokens (JWT) in, a Principal out. Roles set in Relaydesk come on top, in members.py."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, cast

import jwt
from jwt.types import Options

from shared.contracts.ids import WORKSPACE_PATTERN
from shared.contracts.resources import Role
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.problems import Problem, unauthenticated, unavailable
from shared.runtime.settings import AuthSettings
from shared.runtime.token_keys import KeySource, VerificationKey

MAX_TOKEN_CHARS = 8192
MAX_REMEMBERED = 10_000
LEEWAY_S = 5
Algorithm = Literal["RS256", "ES256", "EdDSA"]

CHECKS: Options = {"require": ["exp", "iss", "aud"], "verify_exp": False, "verify_nbf": False, "verify_iat": False}
"""Times are checked here, against the clock that was handed in."""

_WORKSPACE = re.compile(WORKSPACE_PATTERN)
_ROLES = frozenset({"owner", "manager", "agent"})


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller. `token` is passed on to other services in the caller's name; it is not shown."""

    workspace: str
    member_id: str
    role: Role
    name: str
    expires_at: datetime
    token: str = field(default="", repr=False, compare=False)

    @property
    def actor(self) -> str:
        """As in the event attribute `actor`."""
        return f"agent:{self.member_id}"


class MemberDirectory(Protocol):
    async def effective(self, principal: Principal) -> Principal:
        """With the role that counts now. Problem 403 `DEACTIVATED`; 503 or 429 where the gateway is asked and does not
        say."""


class Verifier:
    """Checks signature, issuer, audience, times and claims of a token; remembers verified ones until they expire."""

    def __init__(self, settings: AuthSettings, keys: KeySource, clock: Clock | None = None) -> None:
        self._settings = settings
        self._keys = keys
        self._clock = clock or SystemClock()
        self._known: OrderedDict[str, Principal] = OrderedDict()
        self._generation = keys.generation

    def verify(self, token: str) -> Principal:
        """Problem 401 with one plain sentence; 503 while there are no keys yet. Does not block."""
        if len(token) > MAX_TOKEN_CHARS:
            raise unauthenticated("The token is too long.")
        if self._generation != self._keys.generation:
            self._known.clear()
            self._generation = self._keys.generation
        principal = self._known.get(token) or self._remember(token, self._checked(token))
        if principal.expires_at.timestamp() + LEEWAY_S <= self._clock.now().timestamp():
            self._known.pop(token, None)
            raise unauthenticated("The token has expired.")
        return principal

    def _remember(self, token: str, principal: Principal) -> Principal:
        self._known[token] = principal
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return principal

    def _checked(self, token: str) -> Principal:
        key = self._key_for(token)
        try:
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[key.algorithm],
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                options=CHECKS,
            )
        except jwt.InvalidTokenError as error:
            raise unauthenticated(_sentence(error)) from None
        except (ValueError, TypeError):
            raise unauthenticated("The token cannot be read.") from None
        return self._principal(token, claims)

    def _key_for(self, token: str) -> VerificationKey:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError):
            raise unauthenticated("The token cannot be read.") from None
        kid, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(kid, str) or not kid:
            raise unauthenticated("The token names no key (`kid`).")
        if not self._keys.loaded:
            raise unavailable("The keys that verify tokens are not loaded yet.")
        key = self._keys.find(kid)
        if key is None:
            raise unauthenticated("The token is signed with a key that we do not know.")
        if algorithm != key.algorithm:
            raise unauthenticated("The token's algorithm does not fit its key.")
        return key

    def _principal(self, token: str, claims: Mapping[str, Any]) -> Principal:
        names = self._settings
        role = claims.get(names.jwt_claim_role)
        if not isinstance(role, str) or role not in _ROLES:
            raise unauthenticated("The token's role is none of owner, manager, agent.")
        workspace = _text(claims, names.jwt_claim_workspace, 63)
        if not _WORKSPACE.fullmatch(workspace):
            raise unauthenticated("The token's workspace is not a slug of a-z, 0-9 and -.")
        member = _text(claims, names.jwt_claim_member, 255)
        self._begun(claims)
        name = claims.get(names.jwt_claim_name)
        shown = name.strip()[:200] if isinstance(name, str) and name.strip() else member
        return Principal(workspace, member, cast(Role, role), shown, _moment(claims["exp"]), token)

    def _begun(self, claims: Mapping[str, Any]) -> None:
        if "nbf" in claims and _moment(claims["nbf"]).timestamp() - LEEWAY_S > self._clock.now().timestamp():
            raise unauthenticated("The token is not valid yet.")


def bearer(authorization: str | None) -> str:
    """The token of an `Authorization` header. Problem 401 where there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthenticated("Send `Authorization: Bearer <token>`.")
    return token.strip()


def require_role(principal: Principal, roles: frozenset[str]) -> None:
    """Problem 403 where the role may not."""
    if principal.role not in roles:
        allowed = " or ".join(sorted(roles, reverse=True))
        raise Problem(403, "FORBIDDEN", f"This needs the role {allowed}; yours is {principal.role}.")


def _text(claims: Mapping[str, Any], claim: str, limit: int) -> str:
    value = claims.get(claim)
    if not isinstance(value, str) or not 0 < len(value) <= limit or not value.isprintable():
        raise unauthenticated(f"The token's claim `{claim}` is missing or not a text.")
    return value


def _moment(value: Any) -> datetime:
    try:
        return datetime.fromtimestamp(int(value), UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        raise unauthenticated("The token's times cannot be read.") from None


def _sentence(error: jwt.InvalidTokenError) -> str:
    match error:
        case jwt.InvalidSignatureError():
            return "The token's signature does not verify."
        case jwt.InvalidAudienceError():
            return "The token is for another audience."
        case jwt.InvalidIssuerError():
            return "The token is of another issuer."
        case jwt.MissingRequiredClaimError():
            return f"The token lacks the claim `{error.claim}`."
        case _:
            return "The token cannot be read."
