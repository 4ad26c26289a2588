"""What routing talks to, in memory. `MemoryStates` passes the same suite as the real store
(tests/integration/routing/test_store.py)."""

from collections.abc import Sequence
from datetime import datetime

from services.routing.documents import Document
from services.routing.memory import Remembered, without_outcomes
from services.routing.store import Conflict
from shared.contracts.times import from_timestamp
from tests.unit.routing.build import NOW


class MemoryStates:
    """Stands for `Store`."""

    def __init__(self) -> None:
        self.stored: dict[str, Document] = {}
        self.memory: dict[str, Remembered] = {}

    async def documents(self, keys: Sequence[str]) -> dict[str, Document]:
        return {key: self.stored[key] for key in keys if key in self.stored}

    async def remembered(self, keys: Sequence[str]) -> dict[str, Remembered]:
        return {key: self.memory[key] for key in keys if key in self.memory}

    async def save(
        self, writes: Sequence[Document], remembered: Sequence[Remembered], erased: Sequence[str] = ()
    ) -> None:
        self.check(writes, remembered)
        for key in erased:
            self.memory = without_outcomes(self.memory, key)
        self.stored |= {document.key: document for document in writes}
        self.memory |= {one.key: one for one in remembered}

    def check(self, writes: Sequence[Document], remembered: Sequence[Remembered]) -> None:
        for document in writes:
            before = self.stored.get(document.key)
            if (before.version if before else 0) != document.version - 1:
                raise Conflict(f"{document.key} has another version")
        if any(one.key in self.memory for one in remembered):
            raise Conflict("an id is remembered already")


class SameLife:
    """Stands for `Incarnations`: topics that are never made anew, unless a test says so."""

    def __init__(self) -> None:
        self.lives: dict[str, str] = {}

    def of(self, topic: str) -> str:
        return self.lives.get(topic, "life-1")


class StoppedClock:
    def now(self) -> datetime:
        return from_timestamp(NOW)

    def monotonic(self) -> float:
        return 0.0
