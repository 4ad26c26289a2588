"""The settings of snippets."""

from shared.runtime.settings import AuthSettings, Port, Settings


class SnippetsSettings(Settings, AuthSettings):
    snippets_http_port: Port = 8084
    snippets_probe_port: Port = 9084
