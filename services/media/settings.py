"""What media can be told. Sizes in bytes."""

from typing import Annotated

from pydantic import Field

from shared.runtime.settings import AuthSettings, Port, S3Settings, Settings

GIB = 1 << 30


class MediaSettings(Settings, S3Settings, AuthSettings):
    """`media_quota`: of each workspace, library and attachments together. `media_workers`: files checked at a time in
    each replica; each in a process of its own. `media_fetchers`: files fetched from channels at a
    time in each replica."""

    media_http_port: Port = 8085
    media_probe_port: Port = 9085
    media_quota: Annotated[int, Field(ge=1)] = 50 * GIB
    media_workers: Annotated[int, Field(ge=1, le=64)] = 2
    media_fetchers: Annotated[int, Field(ge=1, le=256)] = 16
