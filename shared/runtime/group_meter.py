"""The metrics of one group, bound once: nothing is looked up per record."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from shared.runtime.engine_errors import is_away
from shared.runtime.faults import Poison
from shared.runtime.metrics import GaugeName, Metrics
from shared.runtime.records import Partition, Record

GAUGES: tuple[GaugeName, ...] = ("consumer_lag", "consumer_progress_age_seconds", "consumer_behind_seconds")


class Standing(NamedTuple):
    """Of a partition: records behind; seconds without progress; seconds since the last handled record was written."""

    lag: int
    stuck_s: float
    behind_s: float


class GroupMeter:
    def __init__(self, metrics: Metrics, group: str, topics: Iterable[str]) -> None:
        self._metrics = metrics
        self._group = group
        self._consumed = {topic: metrics.counter("records_consumed", group=group, topic=topic) for topic in topics}
        self._seconds = metrics.histogram("batch_seconds", group=group)
        self._size = metrics.histogram("batch_records", group=group)
        self._rebalances = metrics.counter("group_rebalances", group=group)
        self._commit_failures = metrics.counter("group_commit_failures", group=group)
        self._shown: set[Partition] = set()

    def handled(self, records: Sequence[Record], seconds: float) -> None:
        self._seconds.observe(seconds)
        self._size.observe(len(records))
        for topic, count in Counter(map(attrgetter("topic"), records)).items():
            self._consumed[topic].inc(count)

    def retried(self, records: int, error: Exception) -> None:
        reason = "transient" if is_away(error) else "poison" if isinstance(error, Poison) else "bug"
        self._metrics.counter("records_retried", group=self._group, reason=reason).inc(records)

    def fenced(self, records: int) -> None:
        self._metrics.counter("records_retried", group=self._group, reason="fenced").inc(records)

    def taken_over(self) -> None:
        self._rebalances.inc()

    def commit_failed(self) -> None:
        self._commit_failures.inc()

    def standing(self, found: Mapping[Partition, Standing]) -> None:
        """Of all partitions that are owned now; others are not shown any more: they are somebody else's to show."""
        for at in self._shown - found.keys():
            for gauge in GAUGES:
                self._metrics.drop(gauge, **self._labels(at))
        self._shown = set(found)
        for at, values in found.items():
            for gauge, value in zip(GAUGES, values, strict=True):
                self._metrics.gauge(gauge, **self._labels(at)).set(value)

    def _labels(self, at: Partition) -> dict[str, str]:
        return {"group": self._group, "topic": at[0], "partition": str(at[1])}
