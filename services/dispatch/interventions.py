"""Members reach into a lane: one delivery is tried now or cancelled, whoever owns its partition.

The change is made in the store, by compare-and-set against the sender. The lane then looks at its head: at once where
it is in this process; its owner elsewhere finds the mark (`nudged_at`) at its regular look.
"""

import asyncio
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
from shared.runtime.engine_errors import is_away
from shared.runtime.metrics import Metrics
from shared.runtime.problems import not_found, unavailable
from shared.runtime.tasks import ended

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
            self._metrics.counter("deliveries_ended", state=after.end.state).inc()
            await publish(self._desk.reports, after.ident, told)
        return True


class RegularLook:
    """Component: every two seconds, the lanes that a member reached into from another replica look at their heads."""

    def __init__(self, desk: FrontDesk, every_s: float = LOOK_EVERY_S) -> None:
        self._desk = desk
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        await ended([self._task])

    def progress(self) -> str | None:
        """None while it looks; for liveness."""
        return "nobody looks for retries and cancels" if self._task is not None and self._task.done() else None

    async def look(self) -> None:
        """One look. A lane that is looked at for nothing costs one read."""
        since = self._desk.clock.now() - LOOK_BACK
        for lane in await self._desk.book.nudged(since):
            self._desk.look(lane)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("the look for retries and cancels will be repeated", reason=type(error).__name__)
            await asyncio.sleep(self._every_s)
