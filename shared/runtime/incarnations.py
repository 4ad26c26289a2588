"""Which life of a topic this is: a re-created one counts offsets anew and must not look like the old (DESIGN 3.5)."""

import json
from typing import TYPE_CHECKING

from shared.contracts.topics import META
from shared.runtime.faults import Fatal
from shared.runtime.table import Table

if TYPE_CHECKING:
    from shared.runtime.messaging import Messaging


def encode_incarnation(incarnation: str) -> bytes:
    return json.dumps({"incarnation": incarnation}).encode()


def decode_incarnation(value: bytes) -> str:
    """Raises ValueError."""
    return str(json.loads(value)["incarnation"])


class Incarnations:
    """A component. Start it before any consumer that asks for an incarnation, and keep it running: a topic that is made
    anew under a running process makes its positions and caches wrong, so that process ends."""

    def __init__(self, messaging: "Messaging") -> None:
        self._messaging = messaging
        self._table = Table(messaging, META, self._changed)
        self._known: dict[str, str] = {}
        self._running = False

    async def start(self) -> None:
        await self._table.start()
        self._known = {topic: decode_incarnation(value) for topic, value in self._table.items()}
        self._running = True

    async def stop(self) -> None:
        await self._table.stop()

    def of(self, topic: str) -> str:
        """The random id of this topic's present life. Fatal when `relaydesk topics apply` never wrote one."""
        try:
            return self._known[topic]
        except KeyError:
            raise Fatal(f"topic {topic} has no incarnation: run `relaydesk topics apply`") from None

    def progress(self) -> str | None:
        return self._table.progress()

    async def ready(self) -> str | None:
        return await self._table.ready()

    def _changed(self, topic: str, value: bytes | None) -> None:
        if not self._running or value is None:
            return
        incarnation = decode_incarnation(value)
        if self._known.setdefault(topic, incarnation) != incarnation:
            self._messaging.on_fatal(Fatal(f"topic {topic} was made anew while we ran: start again"))
