"""What media can be told. Sizes in bytes."""

import os
from typing import Annotated

from pydantic import Field

from shared.runtime.settings import AuthSettings, Port, S3Settings, Settings

GIB = 1 << 30


class MediaSettings(Settings, S3Settings, AuthSettings):
    """`media_quota`: of each workspace, library and attachments together. `media_workers`: files checked at a time in
    each replica, each in a process of its own; 0 = one less than the cores, from 1 to 4. `media_fetchers`: files
    fetched from channels at a time in each replica."""

    media_http_port: Port = 8085
    media_probe_port: Port = 9085
    media_quota: Annotated[int, Field(ge=1)] = 50 * GIB
    media_workers: Annotated[int, Field(ge=0, le=64)] = 0
    media_fetchers: Annotated[int, Field(ge=1, le=256)] = 16

    @property
    def workers(self) -> int:
        return self.media_workers or min(4, max(1, (os.cpu_count() or 1) - 1))
