"""The port layout of a local installation, in this one place."""

from dataclasses import dataclass

from relaydesk.services import SERVICES
from shared.engines.local import EnginePorts

DEFAULT_BASE = 8700


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports lie in `base` .. `base + 39`.

    | offset | what |
    |---|---|
    | 0 | the origin that people and programs use: the development proxy (`api`, `/console/`) |
    | 1 | the web chat, an example adapter |
    | 2 | the gateway's stream (WebSocket) |
    | 3, 4, 5, 6 | S3, Kafka, Kafka's controller, MongoDB |
    | 7 | the bot of the web chat, an example |
    | 10 + n | HTTP of service n, in the order of relaydesk/services.py |
    | 30 + n | probes and metrics of service n |
    """

    base: int = DEFAULT_BASE

    @property
    def api(self) -> int:
        return self.base

    @property
    def webchat(self) -> int:
        return self.base + 1

    @property
    def stream(self) -> int:
        return self.base + 2

    @property
    def engines(self) -> EnginePorts:
        return EnginePorts(s3=self.base + 3, kafka=self.base + 4, kafka_controller=self.base + 5, mongo=self.base + 6)

    @property
    def bot(self) -> int:
        return self.base + 7

    def own(self) -> list[int]:
        """All but the engines', which look after theirs."""
        of_services = [port for name in SERVICES for port in (self.http(name), self.probe(name))]
        return [self.api, self.webchat, self.stream, self.bot, *of_services]

    def http(self, service: str) -> int:
        return self.base + 10 + list(SERVICES).index(service)

    def probe(self, service: str) -> int:
        return self.base + 30 + list(SERVICES).index(service)
