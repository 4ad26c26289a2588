"""What a service is made of: parts that start and stop, in order. Knows no client library."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.runtime.health import Health
from shared.runtime.metrics import Metrics
from shared.runtime.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Component(Protocol):
    """A part with a life of its own: a consumer, a producer, a database client, a background task."""

    async def start(self) -> None:
        """Return when it works. `Transient` or a connection error: called again later, so it must be repeatable."""

    async def stop(self) -> None:
        """Finish what is under way, then close. Called once, also after a failed start; must not raise for that."""


Drain = Callable[[], Awaitable[None]]


@dataclass
class Service:
    """What `build(settings)` answers. `components` start in this order and stop in reverse; port 0 = any free one.

    `drains` send away, at the stop, whoever would keep a request or a connection open for ever; repeatable.
    """

    name: str
    settings: Settings
    health: Health
    metrics: Metrics
    components: Sequence[Component] = field(default_factory=list)
    http: ASGIApp | None = None
    http_port: int = 0
    probe_port: int = 0
    drains: Sequence[Drain] = ()
