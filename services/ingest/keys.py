"""Where ids and secrets of channels come from."""

import base64
import secrets
import uuid

from shared.runtime.secrets import SecretBox

SECRET_BYTES = 32


class ChannelKeys:
    """`services.ingest.registry.Keys`. A secret is sealed for its channel; nobody else's id opens it."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box

    def new_id(self) -> str:
        return str(uuid.uuid4())

    def new_secret(self) -> str:
        return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()

    def seal(self, secret: str, channel_id: str) -> str:
        return self._box.seal(secret.encode(), channel_id)
