"""Records to the hub, and what follows from them: held batches go out when their moment comes, laggards go on."""

import asyncio
from collections.abc import Sequence

from services.gateway.stream.catchup import CatchUp
from services.gateway.stream.hub import Hub
from shared.runtime.records import Record


class Feed:
    """One timer for all rooms, and none while nothing is held."""

    def __init__(self, hub: Hub, catch_up: CatchUp) -> None:
        self._hub, self._catch_up = hub, catch_up
        self._timer: asyncio.TimerHandle | None = None

    def on_records(self, records: Sequence[Record]) -> None:
        """Fatal: the log contradicts itself."""
        self._hub.on_records(records)
        self._went_on()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _went_on(self) -> None:
        self._catch_up.advanced()
        if self._timer is None and (seconds := self._hub.held_for()) is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._hub.flush()
        self._went_on()
