"""Secrets at rest: AES-256-GCM, bound to what they belong to, with the key's id in front so that keys can change."""

import base64
import binascii
import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

NONCE_BYTES = 12


class Unsealable(Exception):
    """A sealed text that no key of ours opens in this context: another key, another owner, or tampered with."""


class SecretBox:
    """Seals with `key`; opens what `key` or `previous` sealed. Keys are base64 of 32 bytes."""

    def __init__(self, key: SecretStr, previous: SecretStr | None = None) -> None:
        self._box, boxes = _box(key), [_box(key)]
        if previous is not None:
            boxes.append(_box(previous))
        self._boxes = dict(boxes)

    def seal(self, plain: bytes, context: str) -> str:
        """`<key id>.<base64url>`; `context` (the channel's id) must be given again to open it."""
        key_id, box = self._box
        nonce = os.urandom(NONCE_BYTES)
        return f"{key_id}.{base64.urlsafe_b64encode(nonce + box.encrypt(nonce, plain, context.encode())).decode()}"

    def open(self, sealed: str, context: str) -> bytes:
        """Raises Unsealable."""
        key_id, _, text = sealed.partition(".")
        box = self._boxes.get(key_id)
        if box is None:
            raise Unsealable("sealed with a key that is not configured")
        try:
            data = base64.b64decode(text, altchars=b"-_", validate=True)
            return box.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], context.encode())
        except (binascii.Error, ValueError, InvalidTag):
            raise Unsealable("not sealed for this context, or changed") from None

    @property
    def current(self) -> str:
        """The id of the key that seals: what is sealed with it begins so, with a dot behind."""
        return self._box[0]


def _box(key: SecretStr) -> tuple[str, AESGCM]:
    data = base64.b64decode(key.get_secret_value(), validate=True)
    return hashlib.sha256(b"relaydesk key id" + data).hexdigest()[:8], AESGCM(data)
