"""What the gateway can be told. Times in seconds, sizes in bytes."""

import base64
from pathlib import Path
from typing import Annotated

from pydantic import Field

from shared.runtime.settings import AuthSettings, HttpUrl, KafkaSettings, Key, MongoSettings, Port, Settings

MIB = 1 << 20
READ_MODEL_NAME = r"^[a-z0-9]{0,20}$"


class ReadModelSettings(MongoSettings):
    """`gateway_read_model`: the name of the read model to keep and to show, as `relaydesk projection rebuild` made it;
    empty = the first one, in the gateway's own database.
    """

    gateway_read_model: Annotated[str, Field(pattern=READ_MODEL_NAME)] = ""

    @property
    def database(self) -> str:
        return f"{self.mongo_prefix}_gateway"

    @property
    def read_model(self) -> str:
        """The read model's database."""
        return read_model_named(self.database, self.gateway_read_model)

    @property
    def group(self) -> str:
        """The consumer group of the read model: replicas on two of them keep both up to date."""
        return f"gateway-{self.gateway_read_model}" if self.gateway_read_model else "gateway"


class RebuildSettings(KafkaSettings, ReadModelSettings):
    """What `relaydesk projection rebuild` has to know."""


class GatewaySettings(Settings, AuthSettings, ReadModelSettings):
    """`gateway_stream_url`: the stream's WebSocket address as browsers reach it, without a query; empty = the bound
    one. `gateway_stream_origins`, `gateway_console_origins`: separated by commas; the pages that may open the stream
    (empty = any), and where the console may connect to and take media from beside its own origin (the S3 endpoint's).
    `gateway_stream_max_sockets`: one more is answered 503 and should try another replica.
    `gateway_cursor_key` signs stream cursors and tickets; all replicas have the same. `gateway_cursor_key_previous`:
    what it signed is accepted as well; to change keys, set the new one here first (docs/operations.md).
    `gateway_keep_days`: contacts whose conversations had no activity for so many days are erased (docs/privacy.md);
    unset = kept for good.
    """

    gateway_http_port: Port = 8080
    gateway_probe_port: Port = 9080
    gateway_stream_port: Port = 8090
    gateway_stream_url: Annotated[str, Field(pattern=r"^(wss?://.+)?$")] = ""
    gateway_stream_origins: str = ""
    gateway_stream_buffer: Annotated[int, Field(ge=64 * 1024, le=64 * MIB)] = MIB
    gateway_stream_ring: Annotated[int, Field(ge=MIB, le=1024 * MIB)] = 32 * MIB
    gateway_stream_max_sockets: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    gateway_stream_heartbeat_s: Annotated[float, Field(ge=1, le=300)] = 25.0
    gateway_cursor_key: Key
    gateway_cursor_key_previous: Key | None = None
    gateway_console: Path | None = None
    gateway_keep_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    gateway_console_origins: str = ""
    snippets_url: HttpUrl = "http://127.0.0.1:8084"
    media_url: HttpUrl = "http://127.0.0.1:8085"

    @property
    def cursor_keys(self) -> tuple[bytes, ...]:
        """The one that signs, then others that are accepted."""
        keys = (self.gateway_cursor_key, self.gateway_cursor_key_previous)
        return tuple(base64.b64decode(key.get_secret_value()) for key in keys if key is not None)

    @property
    def stream_origins(self) -> tuple[str, ...]:
        return _listed(self.gateway_stream_origins)

    @property
    def console_origins(self) -> tuple[str, ...]:
        """The stream's origin is among them; where it is not known beforehand (a free port), any WebSocket's."""
        scheme, _, rest = self.gateway_stream_url.partition("://")
        stream = (f"{scheme}://{rest.partition('/')[0]}",) if rest else ("ws:", "wss:")
        return (*stream, *_listed(self.gateway_console_origins))


def read_model_named(database: str, name: str) -> str:
    return f"{database}_{name}" if name else database


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for piece in text.split(",") if (part := piece.strip()))
