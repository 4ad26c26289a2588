"""The settings of media."""

from shared.runtime.settings import Port, S3Settings, Settings


class MediaSettings(Settings, S3Settings):
    media_http_port: Port = 8085
    media_probe_port: Port = 9085
