"""Keys, tokens and a clock that stands still, for tests of authentication."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

from shared.runtime.auth import Verifier
from shared.runtime.limits import CallerLimits
from shared.runtime.settings import AuthSettings
from shared.runtime.token_keys import KeySource

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PRIVATE: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


@dataclass
class StillClock:
    moment: datetime = NOW
    seconds: float = 0.0

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.seconds += seconds


def jwk(algorithm: str, kid: str, private: Any = None) -> dict[str, Any]:
    key = (private or PRIVATE[algorithm]).public_key()
    row: dict[str, Any] = json.loads(get_default_algorithms()[algorithm].to_jwk(key))
    return {**row, "kid": kid, "alg": algorithm, "use": "sig"}


def jwks(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"keys": rows}).encode()


def pem(algorithm: str) -> bytes:
    data: bytes = PRIVATE[algorithm].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return data


def token(algorithm: str = "EdDSA", kid: str | None = "EdDSA", key: Any = None, **claims: Any) -> str:
    """A good token but for what is given; a claim of None is left out."""
    whole = {
        "iss": "relaydesk",
        "aud": "relaydesk",
        "sub": "m-1",
        "workspace": "acme",
        "role": "agent",
        "name": "Ann",
        "exp": int(NOW.timestamp()) + 600,
        **claims,
    }
    present = {name: value for name, value in whole.items() if value is not None}
    header = {"kid": kid} if kid is not None else {}
    return jwt.encode(present, key or PRIVATE[algorithm], algorithm, headers=header)


@dataclass
class Gate:
    """A verifier with its file of keys, and the limits beside it."""

    verifier: Verifier
    limits: CallerLimits
    keys: KeySource
    path: Path
    clock: StillClock = field(default_factory=StillClock)


UNLIMITED: dict[str, Any] = {"member_rate": 0, "workspace_rate": 0}


async def gate(folder: Path, document: bytes | None = None, **settings: Any) -> Gate:
    path, clock = folder / "keys", StillClock()
    path.write_bytes(document or jwks(*(jwk(name, name) for name in PRIVATE)))
    config = AuthSettings(jwt_keys=path, **settings)
    keys = KeySource(config)
    await keys.refresh()
    return Gate(Verifier(config, keys, clock), CallerLimits(config, clock), keys, path, clock)
