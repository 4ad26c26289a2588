"""A local installation's data folder, but for the engines' data: secrets, made once, and who uses the folder now."""

import base64
import fcntl
import json
import os
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from shared.engines.process import EngineError
from shared.engines.s3 import S3Keys

JWT_KEY_ID = "local"


@dataclass(frozen=True, slots=True)
class Secrets:
    """`secrets_key` and `cursor_key` are base64 of 32 bytes; the JWT key is an Ed25519 pair: PEM and public JWKS."""

    id_namespace: str = field(repr=False)
    secrets_key: str = field(repr=False)
    cursor_key: str = field(repr=False)
    s3_keys: S3Keys
    jwt_private: Path
    jwt_public: Path

    def environment(self) -> dict[str, str]:
        """The settings of the services that carry them."""
        return {
            "RELAYDESK_ID_NAMESPACE": self.id_namespace,
            "RELAYDESK_SECRETS_KEY": self.secrets_key,
            "RELAYDESK_GATEWAY_CURSOR_KEY": self.cursor_key,
            "RELAYDESK_JWT_KEYS": str(self.jwt_public),
        }


def installation_secrets(data: Path) -> Secrets:
    """The secrets under `data`/secrets, readable by their owner alone; what is missing is made now."""
    folder = data.resolve() / "secrets"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = folder / "jwt.pem"
    _once(private, _new_jwt_key)
    return Secrets(
        id_namespace=_once(folder / "id_namespace", lambda: str(uuid.uuid4())),
        secrets_key=_once(folder / "secrets_key", _random_key),
        cursor_key=_once(folder / "cursor_key", _random_key),
        s3_keys=S3Keys("relaydesk", _once(folder / "s3_secret_key", lambda: secrets.token_hex(20))),
        jwt_private=private,
        jwt_public=_public_jwks(private, folder / "jwt.jwks.json"),
    )


def known_secrets(data: Path) -> Secrets:
    """Those of an installation that is there. Raises EngineError where there is none: nothing is made."""
    if not (data / "secrets").is_dir():
        raise EngineError(f"{data} is no installation: start one with `relaydesk run`, or name it with --data")
    return installation_secrets(data)


def fresh_secrets() -> dict[str, str]:
    """New ones, by the name of the setting that carries them."""
    return {
        "RELAYDESK_ID_NAMESPACE": str(uuid.uuid4()),
        "RELAYDESK_SECRETS_KEY": _random_key(),
        "RELAYDESK_GATEWAY_CURSOR_KEY": _random_key(),
    }


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one piece, readable by its owner alone: a reader sees the old or the new text, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.replace(path)


class DataLock:
    """The right to run over a data folder: `with DataLock(data):`. Ends with the process, whatever ends it.

    Entering raises EngineError, with the pid of its holder, when another process has it.
    """

    def __init__(self, data: Path) -> None:
        self._path = data.resolve() / "lock"

    def __enter__(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _locked(self._descriptor):
            holder = os.read(self._descriptor, 20).decode()
            os.close(self._descriptor)
            raise EngineError(f"{self._path.parent} is in use by process {holder}; stop it or choose another --data")
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, str(os.getpid()).encode())

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def holder(self) -> int | None:
        """The pid of the process that has it, None when nobody does."""
        if not self._path.exists():
            return None
        descriptor = os.open(self._path, os.O_RDWR)
        try:
            return None if _locked(descriptor) else int(os.read(descriptor, 20) or 0) or None
        finally:
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _once(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        write_whole(path, make())
    return path.read_text()


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _new_jwt_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    encoding, encryption = serialization.Encoding.PEM, serialization.NoEncryption()
    return Ed25519PrivateKey.generate().private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption).decode()


def _public_jwks(private: Path, path: Path) -> Path:
    def make() -> str:
        from cryptography.hazmat.primitives import serialization

        key = serialization.load_pem_private_key(private.read_bytes(), password=None).public_key()
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": JWT_KEY_ID, "alg": "EdDSA", "use": "sig"}
        return json.dumps({"keys": [jwk]})

    _once(path, make)
    return path
