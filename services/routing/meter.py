"""What routing counts. Labels are looked up once, not per record."""

from collections.abc import Sequence
from typing import get_args

from services.routing.core import Counted
from services.routing.protocol import Plan, Refusal
from shared.runtime.metrics import Metrics


class Meter:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._fresh = metrics.counter("routing_decided")
        self._applied_before = metrics.counter("routing_applied_before")
        self._conflicts = metrics.counter("routing_conflicts")
        self._let_go = {what: metrics.counter("routing_let_go", what=what) for what in get_args(Counted)}

    def decided(self, plan: Plan) -> None:
        """The plan is written: nothing of it is decided again."""
        self._fresh.inc(plan.decided)
        self._applied_before.inc(plan.taken - plan.decided)
        for what, count in plan.counted.items():
            self._let_go[what].inc(count)

    def refused(self, refused: Sequence[Refusal]) -> None:
        """Counted like all dead letters."""
        for one in refused:
            self._metrics.counter("records_dead_lettered", topic=one.record.topic, reason=one.why.reason).inc()

    def conflict(self) -> None:
        self._conflicts.inc()
