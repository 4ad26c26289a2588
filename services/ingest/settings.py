"""The settings of ingest."""

from typing import Annotated

from pydantic import Field

from shared.runtime.settings import AuthSettings, HttpUrl, InstallationSecrets, Port, Settings


class IngestSettings(Settings, AuthSettings, InstallationSecrets):
    """`ingest_channel_rate`: events a second that one channel may send to this replica, 0 = no limit; `…_burst`: so
    many at once. `ingest_channel_cache_s`: so long other replicas may go on with a channel's old settings and secrets.
    """

    ingest_http_port: Port = 8081
    ingest_probe_port: Port = 9081
    ingest_channel_rate: Annotated[float, Field(ge=0)] = 20_000.0
    ingest_channel_burst: Annotated[float, Field(ge=1)] = 60_000.0
    ingest_channel_cache_s: Annotated[float, Field(ge=0, le=60)] = 3.0
    dispatch_url: HttpUrl = "http://127.0.0.1:8083"
