"""Members reach into a lane: one delivery is tried now or cancelled, whoever owns its partition.

The change is made in the store, by compare-and-set against the sender. The lane then looks at its head: at once where
it is in this process; its owner elsewhere finds the mark (`nudged_at`) at its regular look.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from services.dispatch.core.channel import Channel
from services.dispatch.core.delivery import Delivery
from services.dispatch.core.intervention import cancelled, retried
from services.dispatch.insisting import publish
from services.dispatch.ports import DeliveryBook, Reports
from services.dispatch.reporting import told_of
from shared.runtime.clock import Clock
from shared.runtime.metrics import Metrics
from shared.runtime.problems import not_found, unavailable
from shared.runtime.regularly import Regularly

log = structlog.stdlib.get_logger(__name__)

LOOK_EVERY_S = 2.0
LOOK_BACK = timedelta(seconds=15)
"""How far each regular look reaches back: several looks long, for clocks that differ and lanes being loaded."""
TRIES = 10

Rule = Callable[[Delivery, datetime], Delivery]


@dataclass(frozen=True, slots=True)
class FrontDesk:
    """What interventions work with. `look` has the lane with this key look at its head, if it is in this process."""

    book: DeliveryBook
    reports: Reports
    channel: Callable[[str], Channel | None]
    look: Callable[[str], None]
    clock: Clock


class Interventions:
    """Each call may be repeated. Raises Refused where the rules say no; Problem 404 for an id that isn't theirs."""

    def __init__(self, desk: FrontDesk, metrics: Metrics) -> None:
        self._desk = desk
        self._metrics = metrics

    async def retry(self, workspace: str, message_id: str) -> Delivery:
        return await self._change(workspace, message_id, retried)

    async def cancel(self, workspace: str, message_id: str) -> Delivery:
        return await self._change(workspace, message_id, cancelled)

    async def _change(self, workspace: str, message_id: str, rule: Rule) -> Delivery:
        for _ in range(TRIES):
            seen = await self._desk.book.find(workspace, message_id)
            if seen is None:
                raise not_found()
            after = rule(seen, self._desk.clock.now())
            if after is seen or await self._store(seen, after):
                return after
        raise unavailable("The delivery changes at this very moment; try again.")

    async def _store(self, seen: Delivery, after: Delivery) -> bool:
        """False where the sender, or somebody else, was quicker."""
        told = told_of(after, self._desk.channel(after.record.channel_id))
        if not await self._desk.book.swap(seen, after, told):
            return False
        self._desk.look(after.lane)
        if after.end is not None and told is not None:
            self._metrics.counter("deliveries_ended", outcome=after.end.outcome).inc()
            await publish(self._desk.reports, after.ident, told)
        return True


class RegularLook(Regularly):
    """Every two seconds, the lanes that a member reached into from another replica look at their heads."""

    def __init__(self, desk: FrontDesk, every_s: float = LOOK_EVERY_S) -> None:
        super().__init__(self.look, every_s, "the look for retries and cancels")
        self._desk = desk

    async def look(self) -> None:
        """One look. A lane that is looked at for nothing costs one read."""
        since = self._desk.clock.now() - LOOK_BACK
        for lane in await self._desk.book.nudged(since):
            self._desk.look(lane)
