"""Settings of routing, beside those of every service."""

from typing import Annotated

from pydantic import Field

from shared.runtime.settings import Port, Settings


class RoutingSettings(Settings):
    """`routing_cached_conversations`: documents kept in memory (some 5 KB each); `routing_batch`: records per poll."""

    routing_http_port: Port = 8082
    routing_probe_port: Port = 9082
    routing_cached_conversations: Annotated[int, Field(ge=1)] = 20_000
    routing_batch: Annotated[int, Field(ge=1, le=10_000)] = 500
