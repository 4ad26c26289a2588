"""Tokens of a development installation, signed with its own key. Production tokens come from your identity provider."""

import time
from dataclasses import dataclass
from pathlib import Path

from relaydesk.installation import JWT_KEY_ID

DAY_S = 24 * 3600
ISSUER = AUDIENCE = "relaydesk"


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a token speaks for; `role` is owner, manager or agent."""

    member_id: str
    name: str
    role: str
    workspace: str


def mint(private_key: Path, person: Person, lifetime_s: int = DAY_S) -> str:
    """A JWT (EdDSA) that is valid from now on for `lifetime_s` seconds."""
    import jwt

    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": person.member_id,
        "workspace": person.workspace,
        "role": person.role,
        "name": person.name,
        "iat": now,
        "exp": now + lifetime_s,
    }
    return jwt.encode(claims, private_key.read_text(), algorithm="EdDSA", headers={"kid": JWT_KEY_ID})
