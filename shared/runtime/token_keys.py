"""Public keys that verify tokens: from a JWKS or PEM file or a JWKS URL; read again now and then, never per request."""

import asyncio
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jwt
import orjson
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from shared.runtime.faults import Transient
from shared.runtime.settings import AuthSettings, SettingsError
from shared.runtime.tasks import ended

REFRESH_S = 300.0
RETRY_S = 5.0
FETCH_TIMEOUT_S = 5.0
MAX_DOCUMENT_BYTES = 1 << 20
MIN_RSA_BITS = 2048

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    algorithm: Literal["RS256", "ES256", "EdDSA"]
    public: Any


class BadKeys(ValueError):
    """A key document that cannot be used; the text says why and holds no key."""


class KeySource:
    """Component: keys by `kid`. A key of a PEM file has no name and answers to every `kid`."""

    def __init__(self, settings: AuthSettings) -> None:
        self._read = _reader(settings)
        self._from_file = settings.jwt_keys is not None
        self._keys: Mapping[str, VerificationKey] = {}
        self._sole: VerificationKey | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self.loaded = False
        self.generation = 0

    async def start(self) -> None:
        """SettingsError for a file that cannot be used, Transient for a URL that does not answer."""
        try:
            await self.refresh()
        except (OSError, BadKeys) as error:
            if self._from_file:
                raise SettingsError(f"RELAYDESK_JWT_KEYS: {error}") from None
            raise Transient(f"the JWKS URL: {error}") from None
        self._task = asyncio.create_task(self._keep_fresh())

    async def stop(self) -> None:
        await ended([self._task])

    def find(self, kid: str) -> VerificationKey | None:
        """None for an unknown one; then the source is soon read again (not more often than every few seconds)."""
        key = self._sole or self._keys.get(kid)
        if key is None:
            self._wanted.set()
        return key

    async def refresh(self) -> None:
        """Read the source in a thread. OSError or BadKeys; the keys so far stay."""
        keys, sole = parse_keys(await asyncio.to_thread(self._read))
        if (keys, sole) != (self._keys, self._sole):
            self.generation += 1
        self._keys, self._sole, self.loaded = keys, sole, True

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(RETRY_S)
            try:
                async with asyncio.timeout(REFRESH_S - RETRY_S):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                await self.refresh()
            except (OSError, BadKeys) as error:
                _log.warning("token keys not refreshed, the old ones stay", error=str(error))


def parse_keys(document: bytes) -> tuple[Mapping[str, VerificationKey], VerificationKey | None]:
    """A JWKS document -> keys by kid; a PEM document -> its one key. BadKeys otherwise."""
    if b"-----BEGIN" in document:
        return {}, _from_pem(document)
    try:
        rows = orjson.loads(document)["keys"]
        found = {row["kid"]: key for row in rows if (key := _from_jwk(row)) is not None}
    except (ValueError, TypeError, KeyError):
        raise BadKeys("neither a JWKS document nor a PEM public key") from None
    if not found:
        raise BadKeys("no RS256, ES256 or EdDSA key with a `kid` in it")
    return found, None


def _from_pem(document: bytes) -> VerificationKey:
    if document.count(b"-----BEGIN") != 1:
        raise BadKeys("a PEM file must hold exactly one public key; use a JWKS file for more")
    try:
        return _usable(load_pem_public_key(document))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKeys("the PEM block is not a public key (RSA >= 2048 bits, P-256 or Ed25519)") from None


def _from_jwk(row: object) -> VerificationKey | None:
    if not isinstance(row, Mapping) or row.get("use", "sig") != "sig" or not isinstance(row.get("kid"), str):
        return None
    try:
        key = jwt.PyJWK(dict(row)).key
        return _usable(key.public_key() if hasattr(key, "public_key") else key)
    except (jwt.PyJWTError, ValueError):
        return None


def _usable(key: object) -> VerificationKey:
    match key:
        case RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            return VerificationKey("RS256", key)
        case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            return VerificationKey("ES256", key)
        case Ed25519PublicKey():
            return VerificationKey("EdDSA", key)
        case _:
            raise ValueError("not a usable key")


def _reader(settings: AuthSettings) -> Callable[[], bytes]:
    if settings.jwt_keys is not None:
        return settings.jwt_keys.read_bytes
    url = settings.jwt_jwks_url
    assert url is not None  # AuthSettings has exactly one of the two

    def fetch() -> bytes:
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as answer:  # http or https: AuthSettings checks
            document: bytes = answer.read(MAX_DOCUMENT_BYTES + 1)
        if len(document) > MAX_DOCUMENT_BYTES:
            raise BadKeys("the JWKS document is too large")
        return document

    return fetch
